#include "trainer/coordinator/rebalancer.hpp"

#include <algorithm>
#include <utility>

namespace blocktrain::trainer {

Rebalancer::Rebalancer(const Plan& plan, const std::vector<std::int64_t>& start_steps, RebalancerSettings settings)
    : settings_(std::move(settings)), waiting_(plan.ranks.size()), requests_(plan.ranks.size()) {
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
  // What it was asked for it has not sent.
  drop_requests(rank);
  waiting_[static_cast<std::size_t>(rank)] = true;
  settle();
}

bool Rebalancer::replied(int rank, int request, bool granted, std::int64_t step, std::int64_t saved) {
  const auto is_this = [&](const Request& r) { return r.number == request && r.source == rank; };
  const auto found = std::find_if(requests_.begin(), requests_.end(), is_this);
  if (found == requests_.end()) return false;
  const auto target = static_cast<int>(found - requests_.begin());
  const int block = std::exchange(*found, Request{}).block;
  if (granted) {
    Block& b = blocks_[static_cast<std::size_t>(block)];
    b.owner = target;
    b.step = step;
    waiting_[static_cast<std::size_t>(target)] = false;
    Control message{ControlKind::receive_block};
    message.block = block;
    message.rank = rank;
    message.step = step;
    message.saved = saved;
    settings_.send(target, message);
  }
  settle();
  return granted;
}

void Rebalancer::gone(int rank) {
  drop_requests(rank);
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

void Rebalancer::drop_requests(int source) {
  for (Request& r : requests_) {
    if (r.source == source) r = {};
  }
}

bool Rebalancer::asked(int source) const {
  return std::any_of(requests_.begin(), requests_.end(), [&](const Request& r) { return r.source == source; });
}

int Rebalancer::choose(int target) const {
  // From the rank with the most work left, the block with the most steps left.
  int best = -1;
  double most_work = 0;
  for (std::size_t rank = 0; rank < waiting_.size(); ++rank) {
    const auto source = static_cast<int>(rank);
    if (source == target || asked(source)) continue;
    double work = 0;
    int active = 0, candidate = -1;
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      const Block& b = blocks_[i];
      if (b.owner != source || !b.active) continue;
      ++active;
      work += static_cast<double>(left(b)) * b.flops;
      const auto index = static_cast<int>(i);
      const bool better = candidate < 0 || left(b) > left(blocks_[static_cast<std::size_t>(candidate)]);
      if (better && left(b) >= settings_.worth_steps && settings_.fits(target, index)) candidate = index;
    }
    if (active < 2 || candidate < 0 || work <= most_work) continue;
    most_work = work;
    best = candidate;
  }
  return best;
}

void Rebalancer::settle() {
  for (std::size_t rank = 0; rank < waiting_.size(); ++rank) {
    if (!waiting_[rank] || requests_[rank].number >= 0) continue;
    const auto target = static_cast<int>(rank);
    const int block = stopped_ ? -1 : choose(target);
    if (block >= 0) {
      requests_[rank] = {next_request_++, owner(block), block};
      Control message{ControlKind::migration_request, requests_[rank].number};
      message.block = block;
      message.rank = target;
      settings_.send(requests_[rank].source, message);
      continue;
    }
    // A rank with a request may have more to send; it replies first.
    const bool others_wait =
        std::any_of(requests_.begin(), requests_.end(), [](const Request& r) { return r.number >= 0; });
    if (others_wait && !stopped_) continue;
    waiting_[rank] = false;
    settings_.send(target, Control{ControlKind::no_block});
  }
}

}  // namespace blocktrain::trainer
