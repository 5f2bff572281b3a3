#pragma once
/// Which rank takes over which block. Where ranks own several blocks, some are done before others: 4 blocks on 3 ranks
/// are 2, 1 and 1. A rank without a block left waits for one; the one with the most work left sends it one. Where a
/// block is trained changes no bit of it, so this changes nothing but how long a run takes.
///
/// The coordinator's part: it sends a request to an owner, who grants or declines it between two visits, and tells the
/// rank that waits when to receive. Nothing here waits.

#include <cstdint>
#include <functional>
#include <vector>

#include "trainer/exchange/messages.hpp"
#include "trainer/plan/plan.hpp"

namespace blocktrain::trainer {

struct RebalancerSettings {
  /// Whether a rank's arenas hold a block: Plan's rank_can_take().
  std::function<bool(int rank, int block)> fits;
  /// Sends a message to a rank.
  std::function<void(int rank, const Control&)> send;
  std::int64_t steps = 0;        ///< of every block
  std::int64_t worth_steps = 0;  ///< a block with fewer steps left stays where it is
};

class Rebalancer {
 public:
  /// Every block at `start_steps`, on the ranks that the plan gives it to.
  Rebalancer(const Plan& plan, const std::vector<std::int64_t>& start_steps, RebalancerSettings settings);

  void progressed(int block, std::int64_t step);
  /// The block is done, failed or saved: it takes no more steps.
  void ended(int block);
  /// A rank waits for a block: it will be sent `receive_block` or `no_block`.
  void idle(int rank);
  /// A rank's reply to request number `request`. True when the block moves, to owner() from now on; replies to requests
  /// that were dropped are none.
  bool replied(int rank, int request, bool granted, std::int64_t step, std::int64_t saved);
  /// The rank trains no more.
  void gone(int rank);
  /// Nothing moves any more: whoever waits is told so.
  void stop();

  /// The rank that trains the block.
  int owner(int block) const { return blocks_[static_cast<std::size_t>(block)].owner; }

 private:
  struct Block {
    int owner = 0;
    std::int64_t step = 0;
    bool active = true;
    double flops = 1;  ///< of one of its steps
  };
  struct Request {
    int number = -1;  ///< -1: none
    int source = -1, block = -1;
  };
  /// Sends a request for every rank that waits, or tells it that no block will come.
  void settle();
  void drop_requests(int source);
  /// The block that would be moved to `target`, -1 for none.
  int choose(int target) const;
  std::int64_t left(const Block& block) const { return settings_.steps - block.step; }
  bool asked(int source) const;

  RebalancerSettings settings_;
  std::vector<Block> blocks_;
  std::vector<bool> waiting_;      ///< by rank
  std::vector<Request> requests_;  ///< by the rank that waits
  int next_request_ = 0;
  bool stopped_ = false;
};

}  // namespace blocktrain::trainer
