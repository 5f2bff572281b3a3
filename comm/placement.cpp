#include "comm/placement.hpp"

#include <algorithm>
#include <string>

#include "kernels/error.hpp"

namespace blocktrain::comm {

Shard shard(std::uint64_t total, int parts, int index) {
  BLOCKTRAIN_EXPECTS(parts >= 1 && index >= 0 && index < parts);
  const auto n = static_cast<std::uint64_t>(parts);
  const auto i = static_cast<std::uint64_t>(index);
  const std::uint64_t base = total / n;
  const std::uint64_t larger = total % n;  // this many parts have one more
  const std::uint64_t begin = i * base + std::min(i, larger);
  return {begin, begin + base + (i < larger ? 1 : 0)};
}

Placement place_blocks(int blocks, int world) {
  if (blocks < 1) {
    throw InputError("blocks.count is " + std::to_string(blocks) + "; at least 1 block is needed");
  }
  if (world < 1) {
    throw InputError("cannot place " + std::to_string(blocks) + " blocks on " + std::to_string(world) +
                     " ranks; start at least 1 rank, e.g. mpirun -np " + std::to_string(blocks));
  }
  Placement placement;
  placement.blocks_of_rank.resize(static_cast<std::size_t>(world));
  placement.ranks_of_block.resize(static_cast<std::size_t>(blocks));
  const auto assign = [&](std::uint64_t block, std::uint64_t rank) {
    placement.blocks_of_rank[rank].push_back(static_cast<int>(block));
    placement.ranks_of_block[block].push_back(static_cast<int>(rank));
  };
  if (world <= blocks) {
    for (int rank = 0; rank < world; ++rank) {
      const Shard own = shard(static_cast<std::uint64_t>(blocks), world, rank);
      for (std::uint64_t block = own.begin; block < own.end; ++block) assign(block, static_cast<std::uint64_t>(rank));
    }
  } else {
    for (int block = 0; block < blocks; ++block) {
      const Shard owners = shard(static_cast<std::uint64_t>(world), blocks, block);
      for (std::uint64_t rank = owners.begin; rank < owners.end; ++rank)
        assign(static_cast<std::uint64_t>(block), rank);
    }
  }
  return placement;
}

int Placement::replica_index(int rank, int block) const {
  const std::vector<int>& owners = ranks_of_block.at(static_cast<std::size_t>(block));
  const auto found = std::find(owners.begin(), owners.end(), rank);
  return found == owners.end() ? -1 : static_cast<int>(found - owners.begin());
}

}  // namespace blocktrain::comm
