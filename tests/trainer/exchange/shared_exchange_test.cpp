// Meetings about what blocks share: a sum in the order of the blocks, whoever owns them; votes; and their cost.
#include "trainer/exchange/shared_exchange.hpp"

#include <atomic>
#include <boost/test/unit_test.hpp>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "comm/local/local_world.hpp"
#include "kernels/random.hpp"

namespace blocktrain::trainer {
namespace {

constexpr std::int64_t elements = 37;

/// Element i of the part of a block: of very different sizes, so that the order of a sum shows in its bits. The first
/// is -0 of every block, the second of some.
float part_of(int block, std::size_t i) {
  if (i == 0 || (i == 1 && block % 2 == 0)) return -0.0f;
  if (i == 1) return 0.0f;
  const auto words = kernels::random_words({7, kernels::Purpose::noise, 0}, static_cast<std::uint32_t>(block), 0,
                                           static_cast<std::uint32_t>(i));
  return static_cast<float>(kernels::uniform_open(words[0]) - 0.5) * static_cast<float>(1 << (4 * (block % 5)));
}

struct Met {
  std::vector<float> sum;
  MeetingVotes votes;
  comm::Traffic traffic;
  int written = 0;  ///< parts that were asked of the rank
};

/// One meeting of `world` ranks about `blocks` blocks; by rank.
std::vector<Met> meet(int blocks, int world, const std::function<MeetingVotes(int rank)>& votes = {},
                      int bad_block = -1) {
  std::vector<Met> all(static_cast<std::size_t>(world));
  comm::run_local_world(world, [&](comm::Communicator& ranks) {
    const comm::Placement placement = comm::place_blocks(blocks, world);
    std::vector<float> memory(2 * (elements + meeting_votes));
    const kernels::Tensor rows(memory.data(), kernels::DType::float32, {2, elements + meeting_votes});
    SharedExchange exchange(ranks, placement, rows);
    Met& met = all[static_cast<std::size_t>(ranks.rank())];
    for (int meeting = 0; meeting < 2; ++meeting) {  // what is left of the first one must not matter
      met.written = 0;
      met.votes =
          exchange.add_up(votes ? votes(ranks.rank()) : MeetingVotes{}, [&](std::size_t k, std::span<float> part) {
            const int block = placement.blocks_of_rank[static_cast<std::size_t>(ranks.rank())][k];
            // Boost.Test's own checks may not be made by several threads at a time.
            if (part.size() != static_cast<std::size_t>(elements)) throw std::logic_error("a part of another size");
            for (std::size_t i = 0; i < part.size(); ++i) part[i] = part_of(block, i);
            ++met.written;
            return block != bad_block;
          });
    }
    met.sum.assign(exchange.sum().begin(), exchange.sum().end());
    met.traffic = exchange.traffic();
  });
  return all;
}

BOOST_AUTO_TEST_CASE(a_sum_has_the_same_bits_whoever_owns_the_blocks) {
  for (const int blocks : {2, 3, 5, 8}) {
    std::vector<float> expected(elements, 0.0f), backwards(elements, 0.0f);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      for (int b = 0; b < blocks; ++b) expected[i] += part_of(b, i);
      for (int b = blocks - 1; b >= 0; --b) backwards[i] += part_of(b, i);
    }
    if (blocks > 2) BOOST_TEST(expected != backwards);
    for (const int world : {1, 2, 3, 5, 8, 11}) {
      for (const Met& met : meet(blocks, world)) {
        BOOST_TEST(std::memcmp(met.sum.data(), expected.data(), expected.size() * sizeof(float)) == 0,
                   blocks << " blocks on " << world << " ranks");
        BOOST_TEST(!met.votes.stop);
        BOOST_TEST(!met.votes.failed);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(every_rank_hears_the_votes_of_each) {
  for (const int world : {1, 2, 3, 4, 7}) {
    for (int voter = 0; voter < world; ++voter) {
      BOOST_TEST_CONTEXT("rank " << voter << " of " << world) {
        for (const Met& met : meet(4, world, [&](int rank) { return MeetingVotes{rank == voter, false}; })) {
          BOOST_TEST(met.votes.stop);
          BOOST_TEST(!met.votes.failed);
        }
        const auto failed = meet(4, world, [&](int rank) { return MeetingVotes{false, rank == voter}; });
        for (const Met& met : failed) {
          BOOST_TEST(!met.votes.stop);
          BOOST_TEST(met.votes.failed);
        }
        BOOST_TEST(failed[static_cast<std::size_t>(voter)].written == 0);
      }
    }
    for (int block = 0; block < 4; ++block) {
      for (const Met& met : meet(4, world, {}, block)) BOOST_TEST(met.votes.failed);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_meeting_costs_what_is_planned) {
  for (const int blocks : {2, 3, 5}) {
    for (const int world : {1, 2, 3, 4, 7}) {
      const comm::Placement placement = comm::place_blocks(blocks, world);
      const auto all = meet(blocks, world);
      for (int rank = 0; rank < world; ++rank) {
        BOOST_TEST_CONTEXT("rank " << rank << " of " << world << ", " << blocks << " blocks") {
          const comm::Traffic& traffic = all[static_cast<std::size_t>(rank)].traffic;
          for (std::size_t p = 0; p < comm::traffic_purposes; ++p) {
            // Two meetings; and one without parts, before the first step, which is control traffic.
            const bool met = p == static_cast<std::size_t>(comm::TrafficPurpose::inter_block);
            const bool control = p == static_cast<std::size_t>(comm::TrafficPurpose::control);
            const std::uint64_t meetings = met ? 2 : control ? 1 : 0;
            BOOST_TEST(traffic.bytes[p] == meetings * meeting_bytes_sent(placement, elements, rank));
          }
          // Of replicas the first writes.
          const int block = placement.blocks_of_rank[static_cast<std::size_t>(rank)].front();
          const auto own = static_cast<int>(placement.blocks_of_rank[static_cast<std::size_t>(rank)].size());
          BOOST_TEST(all[static_cast<std::size_t>(rank)].written ==
                     (placement.replica_index(rank, block) == 0 ? own : 0));
        }
      }
    }
  }
}

}  // namespace
}  // namespace blocktrain::trainer
