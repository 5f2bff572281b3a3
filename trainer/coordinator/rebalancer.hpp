#pragma once
/// Which rank takes over which block. Where ranks own several blocks, some are done before others: 4 blocks on 3 ranks
/// are 2, 1 and 1. A rank without a block left asks for one; the one with the most work left hands one over. Where a
/// block is trained changes no bit of it, so this changes nothing but how long a run takes.
///
/// The coordinator's part: it asks owners, who decide between two visits whether they give, and tells the taker when.
/// Nothing here waits; every word is a message.

#include <cstdint>
#include <functional>
#include <vector>

#include "trainer/exchange/messages.hpp"
#include "trainer/plan/plan.hpp"

namespace blocktrain::trainer {

struct RebalancerSettings {
  /// Whether a rank's arenas hold a block: Plan's rank_can_take().
  std::function<bool(int rank, int block)> fits;
  /// Sends a word to a rank.
  std::function<void(int rank, const Control&)> tell;
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
  /// A rank waits for a block: it will be told `take` or `rest`.
  void idle(int rank);
  /// A rank's answer to wish number `wish`. True when the block moves, to owner() from now on; answers to wishes that
  /// were dropped are none.
  bool answered(int rank, int wish, bool gives, std::int64_t step, std::int64_t saved);
  /// The rank trains no more.
  void gone(int rank);
  /// Nothing moves any more: whoever waits may rest.
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
  struct Wish {
    int number = -1;  ///< -1: none
    int giver = -1, block = -1;
  };
  /// Asks for a block for every rank that waits, or lets it rest.
  void settle();
  void drop_wishes(int giver);
  /// The block that would be moved to `taker`, -1 for none.
  int choose(int taker) const;
  std::int64_t left(const Block& block) const { return settings_.steps - block.step; }
  bool asked(int giver) const;

  RebalancerSettings settings_;
  std::vector<Block> blocks_;
  std::vector<bool> waiting_;  ///< by rank
  std::vector<Wish> wishes_;   ///< by taker
  int next_wish_ = 0;
  bool stopped_ = false;
};

}  // namespace blocktrain::trainer
