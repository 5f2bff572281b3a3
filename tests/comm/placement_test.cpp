// Placement of blocks, shards of batches, hosts of this process and the launcher's environment.

#include "comm/placement.hpp"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <map>
#include <set>

#include "comm/host.hpp"
#include "comm/launch.hpp"
#include "kernels/error.hpp"

namespace blocktrain::comm {
namespace {

using Lists = std::vector<std::vector<int>>;

BOOST_AUTO_TEST_CASE(tables_by_hand) {
  BOOST_TEST((place_blocks(4, 4).blocks_of_rank == Lists{{0}, {1}, {2}, {3}}));
  BOOST_TEST((place_blocks(4, 1).blocks_of_rank == Lists{{0, 1, 2, 3}}));
  BOOST_TEST((place_blocks(4, 2).blocks_of_rank == Lists{{0, 1}, {2, 3}}));
  BOOST_TEST((place_blocks(4, 3).blocks_of_rank == Lists{{0, 1}, {2}, {3}}));
  BOOST_TEST((place_blocks(4, 6).ranks_of_block == Lists{{0, 1}, {2, 3}, {4}, {5}}));
  BOOST_TEST((place_blocks(4, 8).ranks_of_block == Lists{{0, 1}, {2, 3}, {4, 5}, {6, 7}}));
  BOOST_TEST((place_blocks(1, 3).ranks_of_block == Lists{{0, 1, 2}}));
  BOOST_TEST((place_blocks(1, 1).blocks_of_rank == Lists{{0}}));
}

BOOST_AUTO_TEST_CASE(every_small_placement_keeps_the_rules) {
  for (int blocks = 1; blocks <= 17; ++blocks) {
    for (int world = 1; world <= 40; ++world) {
      BOOST_TEST_CONTEXT(blocks << " blocks, " << world << " ranks") {
        const Placement placement = place_blocks(blocks, world);
        BOOST_TEST_REQUIRE(placement.blocks_of_rank.size() == static_cast<std::size_t>(world));
        BOOST_TEST_REQUIRE(placement.ranks_of_block.size() == static_cast<std::size_t>(blocks));
        std::size_t fewest_blocks = 1000, most_blocks = 0, fewest_ranks = 1000, most_ranks = 0;
        for (int rank = 0; rank < world; ++rank) {
          const auto& owned = placement.blocks_of_rank[static_cast<std::size_t>(rank)];
          fewest_blocks = std::min(fewest_blocks, owned.size());
          most_blocks = std::max(most_blocks, owned.size());
          for (const int block : owned) {
            const auto& owners = placement.ranks_of_block[static_cast<std::size_t>(block)];
            BOOST_TEST(placement.replica_index(rank, block) >= 0);
            BOOST_TEST((owned.size() == 1 || owners.size() == 1));
          }
        }
        std::size_t pairs = 0;
        for (int block = 0; block < blocks; ++block) {
          const auto& owners = placement.ranks_of_block[static_cast<std::size_t>(block)];
          pairs += owners.size();
          fewest_ranks = std::min(fewest_ranks, owners.size());
          most_ranks = std::max(most_ranks, owners.size());
          BOOST_TEST(placement.replica_index(owners.front(), block) == 0);  // it saves and reports
          for (std::size_t i = 1; i < owners.size(); ++i) {
            BOOST_TEST(owners[i] == owners[i - 1] + 1);
            BOOST_TEST(placement.replica_index(owners[i], block) == static_cast<int>(i));
          }
        }
        BOOST_TEST(fewest_blocks >= 1u);
        BOOST_TEST(most_blocks - fewest_blocks <= 1u);
        BOOST_TEST(fewest_ranks >= 1u);
        BOOST_TEST(most_ranks - fewest_ranks <= 1u);
        BOOST_TEST(pairs == static_cast<std::size_t>(std::max(blocks, world)));
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(impossible_placements_are_input_errors) {
  BOOST_CHECK_THROW((void)place_blocks(4, 0), InputError);
  BOOST_CHECK_THROW((void)place_blocks(0, 4), InputError);
  BOOST_CHECK_THROW((void)place_blocks(4, -1), InputError);
  BOOST_TEST(place_blocks(4, 6).replica_index(5, 0) == -1);
}

BOOST_AUTO_TEST_CASE(shards_cover_everything_once) {
  for (const std::uint64_t total : {0ull, 1ull, 7ull, 100ull, (1ull << 40) + 3}) {
    for (const int parts : {1, 2, 3, 7, 64}) {
      std::uint64_t next = 0, smallest = ~0ull, largest = 0;
      for (int index = 0; index < parts; ++index) {
        const Shard part = shard(total, parts, index);
        BOOST_TEST(part.begin == next);
        next = part.end;
        smallest = std::min(smallest, part.size());
        largest = std::max(largest, part.size());
      }
      BOOST_TEST(next == total);
      BOOST_TEST(largest - smallest <= 1);
    }
  }
  BOOST_CHECK_THROW((void)shard(4, 2, 2), std::logic_error);
  BOOST_CHECK_THROW((void)shard(4, 0, 0), std::logic_error);
}

BOOST_AUTO_TEST_CASE(this_host_is_stable) {
  const HostIdentity host = this_host();
  BOOST_TEST(!host.hostname.empty());
  BOOST_TEST(!host.key.empty());
  BOOST_TEST(this_host().key == host.key);
}

BOOST_AUTO_TEST_CASE(launchers_are_told_apart) {
  const auto launched = [](std::map<std::string, std::string> variables) {
    return launched_by_mpirun([&](const char* name) -> const char* {
      const auto found = variables.find(name);
      return found == variables.end() ? nullptr : found->second.c_str();
    });
  };
  BOOST_TEST(!launched({}));
  BOOST_TEST(!launched({{"OMPI_COMM_WORLD_SIZE", ""}}));
  BOOST_TEST(launched({{"OMPI_COMM_WORLD_SIZE", "4"}}));
  BOOST_TEST(launched({{"PMIX_RANK", "0"}, {"SLURM_STEP_NUM_TASKS", "4"}}));
  BOOST_TEST(launched({{"PMI_RANK", "1"}}));
  BOOST_TEST(!launched({{"SLURM_PROCID", "0"}, {"SLURM_JOB_ID", "17"}}));  // inside a batch script
  BOOST_TEST(!launched({{"SLURM_PROCID", "0"}, {"SLURM_STEP_NUM_TASKS", "1"}}));
  BOOST_CHECK_THROW((void)launched({{"SLURM_PROCID", "0"}, {"SLURM_STEP_NUM_TASKS", "2"}}), InputError);
}

}  // namespace
}  // namespace blocktrain::comm
