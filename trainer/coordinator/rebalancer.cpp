#include "trainer/coordinator/rebalancer.hpp"

#include <algorithm>
#include <utility>

namespace blocktrain::trainer {

Rebalancer::Rebalancer(const Plan& plan, const std::vector<std::int64_t>& start_steps, RebalancerSettings settings)
    : settings_(std::move(settings)), waiting_(plan.ranks.size()), wishes_(plan.ranks.size()) {
  for (const BlockPlan& b : plan.blocks) {
    const auto i = static_cast<std::size_t>(b.place.index);
    blocks_.push_back({plan.placement.ranks_of_block[i].front(), start_steps[i], true, b.flops.training});
  }
}

void Rebalancer::progressed(int block, std::int64_t step) {
  Block& b = blocks_[static_cast<std::size_t>(block)];
  b.step = std::max(b.step, step);
}

void Rebalancer::ended(int block) {
  blocks_[static_cast<std::size_t>(block)].active = false;
  settle();
}

void Rebalancer::idle(int rank) {
  // What it was asked to give it has not given.
  drop_wishes(rank);
  waiting_[static_cast<std::size_t>(rank)] = true;
  settle();
}

bool Rebalancer::answered(int rank, int wish, bool gives, std::int64_t step, std::int64_t saved) {
  const auto is_this = [&](const Wish& w) { return w.number == wish && w.giver == rank; };
  const auto found = std::find_if(wishes_.begin(), wishes_.end(), is_this);
  if (found == wishes_.end()) return false;
  const auto taker = static_cast<int>(found - wishes_.begin());
  const int block = std::exchange(*found, Wish{}).block;
  if (gives) {
    Block& b = blocks_[static_cast<std::size_t>(block)];
    b.owner = taker;
    b.step = step;
    waiting_[static_cast<std::size_t>(taker)] = false;
    Control word{ControlKind::take};
    word.block = block;
    word.rank = rank;
    word.step = step;
    word.saved = saved;
    settings_.tell(taker, word);
  }
  settle();
  return gives;
}

void Rebalancer::gone(int rank) {
  drop_wishes(rank);
  for (Block& b : blocks_) {
    if (b.owner == rank) b.active = false;  // it may have failed before it could say so
  }
  waiting_[static_cast<std::size_t>(rank)] = false;
  settle();
}

void Rebalancer::stop() {
  stopped_ = true;
  settle();
}

void Rebalancer::drop_wishes(int giver) {
  for (Wish& w : wishes_) {
    if (w.giver == giver) w = {};
  }
}

bool Rebalancer::asked(int giver) const {
  return std::any_of(wishes_.begin(), wishes_.end(), [&](const Wish& w) { return w.giver == giver; });
}

int Rebalancer::choose(int taker) const {
  // From the rank with the most work left, the block with the most steps left.
  int best = -1;
  double most_work = 0;
  for (std::size_t rank = 0; rank < waiting_.size(); ++rank) {
    const auto giver = static_cast<int>(rank);
    if (giver == taker || asked(giver)) continue;
    double work = 0;
    int active = 0, candidate = -1;
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      const Block& b = blocks_[i];
      if (b.owner != giver || !b.active) continue;
      ++active;
      work += static_cast<double>(left(b)) * b.flops;
      const auto index = static_cast<int>(i);
      const bool better = candidate < 0 || left(b) > left(blocks_[static_cast<std::size_t>(candidate)]);
      if (better && left(b) >= settings_.worth_steps && settings_.fits(taker, index)) candidate = index;
    }
    if (active < 2 || candidate < 0 || work <= most_work) continue;
    most_work = work;
    best = candidate;
  }
  return best;
}

void Rebalancer::settle() {
  for (std::size_t rank = 0; rank < waiting_.size(); ++rank) {
    if (!waiting_[rank] || wishes_[rank].number >= 0) continue;
    const auto taker = static_cast<int>(rank);
    const int block = stopped_ ? -1 : choose(taker);
    if (block >= 0) {
      wishes_[rank] = {next_wish_++, owner(block), block};
      Control word{ControlKind::give, wishes_[rank].number};
      word.block = block;
      word.rank = taker;
      settings_.tell(wishes_[rank].giver, word);
      continue;
    }
    // A giver that was asked by another may have more to give; it answers first.
    const bool others_wait = std::any_of(wishes_.begin(), wishes_.end(), [](const Wish& w) { return w.number >= 0; });
    if (others_wait && !stopped_) continue;
    waiting_[rank] = false;
    settings_.tell(taker, Control{ControlKind::rest});
  }
}

}  // namespace blocktrain::trainer
