#pragma once
/// Who trains what: blocks on ranks, and samples on the replicas of a block. Pure functions of the two numbers, so
/// every rank and `blocktrain plan` without any rank compute the same answer.

#include <cstdint>
#include <vector>

namespace blocktrain::comm {

/// Blocks and ranks. Every rank owns either several blocks alone, or one block with or without replicas.
struct Placement {
  /// By rank: the blocks it owns, in the order it trains them in turn. Never empty.
  std::vector<std::vector<int>> blocks_of_rank;
  /// By block: the ranks that own it, ascending and neighbouring; the first one leads (saves, reports).
  std::vector<std::vector<int>> ranks_of_block;

  /// Index of `rank` among the replicas of `block`; -1 if it does not own it.
  int replica_index(int rank, int block) const;
};

/// Places `blocks` blocks on `world` ranks as evenly as whole blocks and whole ranks allow; the first ranks or blocks
/// take what is left over: 4 blocks on 3 ranks are 2, 1, 1 blocks; 4 blocks on 6 ranks have 2, 2, 1, 1 replicas.
/// Throws InputError unless both are at least 1.
Placement place_blocks(int blocks, int world);

/// A half-open range of indices.
struct Shard {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint64_t size() const { return end - begin; }
};

/// Part `index` of `total` things cut into `parts` contiguous ranges whose sizes differ by at most 1, larger ones
/// first. Parts beyond `total` are empty. Precondition: 0 <= index < parts.
Shard shard(std::uint64_t total, int parts, int index);

}  // namespace blocktrain::comm
