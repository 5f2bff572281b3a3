// The part of the training loop for blocks that are coupled (trainer/plan/coupling.hpp): all ranks meet every few
// steps, add up what their blocks share, and agree there on whether to go on.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>
#include <span>
#include <string>

#include "trainer/support/exit_status.hpp"
#include "trainer/worker/worker.hpp"

namespace blocktrain::trainer {

using kernels::Tensor;

namespace {

bool all_finite(std::span<const float> numbers) {
  return std::all_of(numbers.begin(), numbers.end(), [](float x) { return std::isfinite(x); });
}

}  // namespace

template <class F>
void Worker::for_each_shared(const OwnedBlock& block, const Tensor& flat, const F& f) const {
  std::size_t at = 0;
  for (const kernels::ElementRange& r : block.network->shared()) {
    f(flat.rows(r.begin, r.end), at);
    at += static_cast<std::size_t>(r.end - r.begin);
  }
}

void Worker::train_coupled() {
  const Coupling& coupling = parts_.plan.coupling;
  const std::int64_t steps = parts_.config.budget.steps;
  std::int64_t step = parts_.owned.front().state.step;
  for (const OwnedBlock& b : parts_.owned) BLOCKTRAIN_EXPECTS(b.state.step == step);
  if (step >= steps) {
    for (const OwnedBlock& b : parts_.owned) parts_.reporter.block_ended(b.block, step, BlockEnd::done, "");
    return;
  }
  parts_.loader.seek(static_cast<std::uint32_t>(step));

  bool failed = false;        // a block of this rank, which was reported
  std::exception_ptr broken;  // the rank itself; thrown where the others have heard of it, so that none waits for it
  const auto attempt = [&](const auto& work) {
    try {
      failed = !work();
    } catch (const QuietExit&) {
      throw;  // the run has ended
    } catch (...) {
      broken = std::current_exception();
    }
  };
  while (step < steps) {
    meeting_ = std::min(steps, (step / coupling.every_steps + 1) * coupling.every_steps);
    if (!failed && !broken) {
      const std::int64_t begin = monotonic_ns();
      attempt([&] { return coupling.synchronized() ? compute_gradients() : train_to_meeting(); });
      longest_ns_ = std::max(longest_ns_, monotonic_ns() - begin);
    }
    // A replica that has stopped has left its partners in a sum, so that they will not come to the meeting either: the
    // reason is told at once, and ends them.
    if (broken && !parts_.replicas.none()) std::rethrow_exception(broken);
    MeetingVotes votes{false, failed};
    if (coupling.meets_after(meeting_)) {
      try {
        votes = meet(step, failed || broken);
      } catch (...) {
        if (!broken) throw;
      }
    }
    if (broken) std::rethrow_exception(broken);
    if (votes.failed) return end_with_another();
    step = meeting_;
    attempt([&] {
      if (coupling.synchronized()) apply_gradients();
      if (!rows_.empty()) push_rows();
      return rest();
    });
    if (votes.stop && step < steps) {
      if (broken) std::rethrow_exception(broken);
      for (OwnedBlock& b : parts_.owned) {
        if (has_failed_[static_cast<std::size_t>(b.block)] != 0 || !save(b)) continue;
        parts_.reporter.block_ended(b.block, b.state.step, BlockEnd::stopped, "");
      }
      return;
    }
  }
  if (broken) std::rethrow_exception(broken);
}

bool Worker::train_to_meeting() {
  const std::size_t count = parts_.owned.size();
  std::size_t left = count;
  for (std::size_t i = 0; left > 0; i = (i + 1) % count) {
    OwnedBlock& b = parts_.owned[i];
    if (b.state.step == meeting_) continue;
    slots_->enter(b);
    if (left > 1) slots_->expect(parts_.owned[(i + 1) % count]);
    const Visit end = visit(b, left == 1);
    if (end == Visit::failed) return false;
    if (end == Visit::meets) --left;
  }
  return true;
}

bool Worker::compute_gradients() {
  const blocks::Batch& batch = parts_.loader.next();
  bool good = true;
  std::int64_t begin = parts_.reporter.ring().begin_step();
  for (OwnedBlock& b : parts_.owned) {
    slots_->enter(b);
    const StepOutcome outcome = stepper_.compute_gradient(b, batch, settings_[static_cast<std::size_t>(b.block)]);
    rows_.push_back(row_of(b, b.state.step, outcome, begin));
    begin = monotonic_ns();
    if (outcome.finite) continue;
    block_failed(b, "the gradient of step " + std::to_string(b.state.step) + " is not finite; the update was not made");
    good = false;
  }
  be_patient_with_replicas(false);
  return good;
}

bool Worker::write_part(std::size_t k, std::span<float> part) {
  OwnedBlock& b = parts_.owned[k];
  const bool gradient = parts_.plan.coupling.synchronized();
  if (!gradient) slots_->enter(b);
  for_each_shared(b, gradient ? b.gradient : b.live.parameters, [&](const Tensor& t, std::size_t at) {
    parts_.device.download(part.data() + at, t.data, t.bytes());
  });
  if (all_finite(part)) return true;
  if (gradient) {
    block_failed(b, "the gradient of step " + std::to_string(b.state.step) +
                        " is not finite in the table that blocks share; the update was not made");
  } else {
    block_failed(b, "its copy of the table that blocks share is not finite after " + std::to_string(b.state.step) +
                        " steps; it was not averaged");
  }
  return false;
}

MeetingVotes Worker::meet(std::int64_t since, bool failed) {
  SharedExchange& shared = *parts_.shared;
  const Coupling& coupling = parts_.plan.coupling;
  // How much later than this rank another may come: one with more blocks, or a slower one; and one that saves, as it
  // does after the same steps as this rank, or has still to find out what this one failed of.
  bool long_work = failed;
  for (std::int64_t s = since; s < meeting_; ++s) long_work = long_work || rests_after(s);
  // A rank that failed early has seen a part of the way alone.
  std::int64_t way = longest_ns_;
  if (failed) {
    std::int64_t made = meeting_ - since;
    for (const OwnedBlock& b : parts_.owned) made = std::min(made, b.state.step - since);
    way *= (meeting_ - since) / std::max<std::int64_t>(made, 1);
  }
  std::size_t most_blocks = 1;
  for (const RankPlan& r : parts_.plan.ranks) most_blocks = std::max(most_blocks, r.blocks.size());
  constexpr std::int64_t slower = 4;
  const auto timeout = parts_.config.parallel.timeout();
  shared.set_deadline((long_work ? most_timeouts_of_save * timeout : timeout) +
                      std::chrono::milliseconds(slower * static_cast<std::int64_t>(most_blocks) * way / 1000000));

  const MeetingVotes mine{parts_.reporter.stop_asked(), failed};
  MeetingVotes votes =
      shared.add_up(mine, [this](std::size_t k, std::span<float> part) { return write_part(k, part); });
  if (votes.failed) return votes;
  const std::span<float> sum = shared.sum();
  if (!coupling.synchronized()) {
    const auto blocks = static_cast<float>(parts_.plan.blocks.size());
    for (float& x : sum) x /= blocks;
  }
  if (!all_finite(sum)) {
    // Every rank sees it, though the part of each block was finite.
    for (const OwnedBlock& b : parts_.owned) {
      block_failed(b, "what all blocks together make of the table that they share is not finite at step " +
                          std::to_string(b.state.step));
    }
    votes.failed = true;
    return votes;
  }
  for (OwnedBlock& b : parts_.owned) {
    if (!coupling.synchronized()) slots_->enter(b);
    const auto write = [&](const Tensor& t, std::size_t at) {
      parts_.device.upload(t.data, sum.data() + at, t.bytes());
    };
    for_each_shared(b, coupling.synchronized() ? b.gradient : b.live.parameters, write);
    if (coupling.synchronized() || b.live.working.empty()) continue;
    for (const kernels::ElementRange& r : b.network->shared()) {
      parts_.device.ops().convert(b.live.working.rows(r.begin, r.end), b.live.parameters.rows(r.begin, r.end));
    }
  }
  parts_.device.record(*met_);
  parts_.device.synchronize(*met_);
  return votes;
}

void Worker::apply_gradients() {
  for (OwnedBlock& b : parts_.owned) {
    slots_->enter(b);
    stepper_.apply_gradient(b, settings_[static_cast<std::size_t>(b.block)]);
  }
}

bool Worker::rest() {
  const Config& config = parts_.config;
  bool good = true;
  for (OwnedBlock& b : parts_.owned) {
    const std::int64_t steps = b.state.step;
    const bool ends = steps >= config.budget.steps;
    if (parts_.plan.coupling.synchronized() && parts_.after_step) parts_.after_step(b, steps - 1);
    if ((ends || steps % config.checkpoint.every_steps == 0) && !save(b)) {
      good = false;
      continue;
    }
    if (evaluates_after(steps)) {
      slots_->enter(b);
      evaluate(b);
    }
    if (ends) parts_.reporter.block_ended(b.block, steps, BlockEnd::done, "");
  }
  be_patient_with_replicas(rests_after(parts_.owned.front().state.step));
  return good;
}

void Worker::end_with_another() {
  // Steps that were not made have no rows.
  if (!rows_.empty() && !parts_.plan.coupling.synchronized()) push_rows();
  rows_.clear();
  parts_.reporter.ring().abandon_step();
  for (const OwnedBlock& b : parts_.owned) {
    if (has_failed_[static_cast<std::size_t>(b.block)] == 0)
      parts_.reporter.block_ended(b.block, b.state.step, BlockEnd::ended_with_another, "");
  }
}

}  // namespace blocktrain::trainer
