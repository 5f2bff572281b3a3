#include "trainer/worker/worker.hpp"

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

#include "trainer/plan/learning_rate.hpp"

namespace blocktrain::trainer {

Worker::Worker(WorkerParts parts)
    : parts_(std::move(parts)),
      stepper_(parts_.device, parts_.replicas),
      settings_(parts_.plan.blocks.size()),
      saved_(parts_.plan.blocks.size(), -1),
      has_failed_(parts_.plan.blocks.size(), 0) {
  slots_.emplace(parts_.device, parts_.owned);
  rows_.reserve(parts_.owned.size());
  if (parts_.shared != nullptr) met_ = parts_.device.make_event();
  for (const OwnedBlock& b : parts_.owned) {
    settings_[static_cast<std::size_t>(b.block)] = step_settings(b);
    // What a resumed block starts from is on disk already.
    if (b.state.step > 0) saved_[static_cast<std::size_t>(b.block)] = b.state.step;
  }
}

BlockStepSettings Worker::step_settings(const OwnedBlock& block) const {
  BlockStepSettings s;
  s.seed = trained_block_seed(parts_.config, block.block);
  s.optimizer = parts_.config.optimizer;
  s.decay_steps = resolved_decay_steps(parts_.config);
  s.global_batch = parts_.plan.batch;
  s.micro_batch = parts_.plan.micro_batch;
  return s;
}

void Worker::run() {
  if (parts_.shared != nullptr) return train_coupled();
  while (train_owned() && parts_.plan.rebalances && migrate_in()) {
  }
}

bool Worker::train_owned() {
  std::vector<OwnedBlock*> active;
  for (OwnedBlock& b : parts_.owned) active.push_back(&b);

  bool stopping = false;
  for (std::size_t i = 0; !active.empty() && !stopping;) {
    OwnedBlock& b = *active[i];
    slots_->enter(b);
    if (active.size() > 1) slots_->expect(*active[(i + 1) % active.size()]);
    const Visit end = visit(b);
    stopping = end == Visit::stop;
    if (end == Visit::done || end == Visit::failed) {
      active.erase(active.begin() + static_cast<std::ptrdiff_t>(i));
    } else if (!stopping) {
      ++i;
    }
    if (!stopping) migrate_out(active, i);
    if (i >= active.size()) i = 0;
  }
  for (OwnedBlock* b : active) {
    if (!save(*b)) continue;
    parts_.reporter.block_ended(b->block, b->state.step, BlockEnd::stopped, "");
  }
  return !stopping;
}

void Worker::migrate_out(std::vector<OwnedBlock*>& active, std::size_t& next) {
  const std::optional<Control> request = parts_.reporter.migration_request();
  if (!request) return;
  const auto is_asked_for = [&](const OwnedBlock* b) { return b->block == request->block; };
  const auto found = std::find_if(active.begin(), active.end(), is_asked_for);
  if (found == active.end() || active.size() < 2) {
    parts_.reporter.decline(*request);
    return;
  }
  OwnedBlock& block = **found;
  // The other rank hears of it, behind every record of the block's steps here, and receives.
  parts_.reporter.grant(*request, block.state.step, saved_[static_cast<std::size_t>(block.block)]);
  slots_->enter(block);
  parts_.transport.send(block.live, request->rank);
  slots_->forget(block);
  if (static_cast<std::size_t>(found - active.begin()) < next) --next;
  active.erase(found);
}

bool Worker::migrate_in() {
  const std::optional<Control> order = parts_.reporter.wait_for_block();
  if (!order) return false;
  const auto index = static_cast<std::size_t>(order->block);
  slots_.reset();
  bind_instead(parts_.arenas, parts_.config, parts_.layout, parts_.plan.blocks[index].place, parts_.plan.micro_batch,
               parts_.owned);
  OwnedBlock& block = parts_.owned.front();
  parts_.transport.receive(block.live, order->rank);
  block.state.step = order->step;
  slots_.emplace(parts_.device, parts_.owned);
  slots_->arrived(block);
  settings_[index] = step_settings(block);
  saved_[index] = order->saved;
  return true;
}

Worker::Visit Worker::visit(OwnedBlock& block, bool holds_last) {
  const Config& config = parts_.config;
  const BlockStepSettings& settings = settings_[static_cast<std::size_t>(block.block)];
  const bool coupled = parts_.shared != nullptr;
  const std::int64_t last =
      std::min(coupled ? meeting_ : config.budget.steps, block.state.step + config.parallel.steps_per_visit);
  if (block.state.step < config.budget.steps) parts_.loader.seek(static_cast<std::uint32_t>(block.state.step));

  std::int64_t asked = block.state.step, begin = 0;
  bool pause = false;  // no further step is asked for before those under way are finished
  bool stop = false;   // nor any more at all
  while (block.state.step < last) {
    while (!pause && !stop && asked < last && stepper_.under_way() < stepper_.most_under_way()) {
      if (stepper_.under_way() == 0) begin = parts_.reporter.ring().begin_step();
      const blocks::Batch& batch = parts_.loader.next();
      // Coupled blocks agree on that where they meet.
      const bool stop_asked = !coupled && parts_.reporter.stop_asked();
      stepper_.begin(block, batch, settings, stop_asked);
      pause = rests_after(++asked) || (stop_asked && !stepper_.agrees_on_stops());
    }
    const std::int64_t step = block.state.step;
    const StepOutcome outcome = stepper_.finish(block);
    be_patient_with_replicas(false);
    if (!outcome.finite) {
      stepper_.discard();
      parts_.reporter.ring().abandon_step();
      block_failed(block, "the gradient of step " + std::to_string(step) + " is not finite; the update was not made");
      return Visit::failed;
    }
    const bool meets = coupled && block.state.step == meeting_;
    rows_.push_back(row_of(block, step, outcome, begin));
    if (!(meets && holds_last)) push_rows();
    // The next step has been running since the last one ended.
    if (stepper_.under_way() > 0) begin = parts_.reporter.ring().begin_step();
    if (stepper_.under_way() == 0) {
      pause = false;
      if (!meets) {
        if (block.state.step % config.checkpoint.every_steps == 0 && !save(block)) return Visit::failed;
        if (evaluates_after(block.state.step)) evaluate(block);
      }
      be_patient_with_replicas(rests_after(block.state.step));
    }
    if (parts_.after_step) parts_.after_step(block, step);
    stop = stop || outcome.stop;
    if (stop && stepper_.under_way() == 0 && block.state.step < config.budget.steps) return Visit::stop;
  }
  if (coupled && block.state.step == meeting_) return Visit::meets;
  if (block.state.step < config.budget.steps) return Visit::next_block;
  if (!save(block)) return Visit::failed;
  parts_.reporter.block_ended(block.block, block.state.step, BlockEnd::done, "");
  return Visit::done;
}

void Worker::block_failed(const OwnedBlock& block, const std::string& what) {
  has_failed_[static_cast<std::size_t>(block.block)] = 1;
  parts_.reporter.block_ended(block.block, block.state.step, BlockEnd::failed,
                              what +
                                  " and the last checkpoint stands. Resumed as it is it would meet the same numbers; "
                                  "a new run with a lower optimizer.learning_rate or a smaller optimizer.clip_norm is "
                                  "the usual remedy");
}

bool Worker::evaluates_after(std::int64_t steps) const {
  return parts_.heldout != nullptr && steps % parts_.config.eval.every_steps == 0;
}

bool Worker::rests_after(std::int64_t steps) const {
  return steps % parts_.config.checkpoint.every_steps == 0 || evaluates_after(steps);
}

void Worker::be_patient_with_replicas(bool patient) {
  if (patient == patient_) return;
  patient_ = patient;
  const auto timeout = parts_.config.parallel.timeout();
  const auto deadline = patient ? most_timeouts_of_save * timeout : timeout;
  if (parts_.replicas.host != nullptr) parts_.replicas.host->set_deadline(deadline);
  if (parts_.replicas.device != nullptr) parts_.replicas.device->set_deadline(deadline);
}

void Worker::evaluate(OwnedBlock& block) {
  if (rank_plan().replica != 0) return;
  const std::int64_t begin = parts_.reporter.ring().begin_work();
  const HeldoutLoss h = measure_heldout(parts_.device, parts_.data, parts_.config, block, *parts_.heldout);
  const std::int64_t busy = end_work(BusyPurpose::evaluation, begin);
  parts_.reporter.evaluated(block.block, block.state.step, h, static_cast<double>(busy) * 1e-9);
}

StepRecord Worker::row_of(const OwnedBlock& block, std::int64_t step, const StepOutcome& outcome,
                          std::int64_t busy_begin) {
  const Plan& plan = parts_.plan;
  const RankPlan& rank = rank_plan();
  const auto samples = static_cast<double>(outcome.samples);
  StepRecord r;
  r.step = step;
  r.block = block.block;
  r.replica = rank.replica;
  r.replicas = rank.replicas;
  r.rank = parts_.world.rank();
  r.host = parts_.host;
  r.tokens = outcome.samples * block.network->targets_per_sample();
  r.samples = outcome.samples;
  r.loss = outcome.loss_sum / samples;
  r.unweighted = outcome.mse_sum / samples;
  const BlockPlan& block_plan = plan.blocks[static_cast<std::size_t>(block.block)];
  r.level_lo = block_plan.trained.lo;
  r.level_hi = block_plan.trained.hi;
  r.learning_rate = outcome.learning_rate;
  r.gradient_norm = outcome.gradient_norm;
  r.busy_begin = busy_begin;
  r.memory_planned = static_cast<std::int64_t>(rank.bytes.total());
  r.memory_measured = static_cast<std::int64_t>(parts_.arenas.peak().total());
  r.memory_runtime = parts_.reporter.runtime_bytes();
  const DeviceRuntime on_gpu = parts_.reporter.device_runtime();
  r.memory_device_runtime = on_gpu.bytes;
  r.memory_scope = on_gpu.scope;
  return r;
}

void Worker::push_rows() {
  StepRecord& last = rows_.back();
  last.busy_end = monotonic_ns();
  for (StepRecord& r : rows_) {
    if (&r != &last) r.busy_end = (&r + 1)->busy_begin;
    r.seconds = static_cast<double>(r.busy_end - r.busy_begin) * 1e-9;
    r.unix_end = unix_ns();
  }
  const comm::Traffic now = traffic();
  for (std::size_t p = 0; p < comm::traffic_purposes; ++p)
    last.bytes_sent[p] = now.bytes[p] - reported_traffic_.bytes[p];
  reported_traffic_ = now;
  parts_.reporter.ring().push(std::span<const StepRecord>(rows_));
  rows_.clear();
}

bool Worker::save(OwnedBlock& block) {
  std::int64_t& saved = saved_[static_cast<std::size_t>(block.block)];
  if (saved == block.state.step || block.state.step == 0) return true;
  const std::int64_t begin = parts_.reporter.ring().begin_work();
  slots_->bring_home(block);
  // An update may overflow though its gradient was finite. Replicas hold the same bits: each looks for itself, so that
  // none waits for one that has stopped, and the first writes them.
  const auto unusable = find_unusable(block.network->parameters(), checkpoint_tensors(block));
  if (!unusable && rank_plan().replica == 0) {
    parts_.reporter.save(block, trained_block_seed(parts_.config, block.block));
  }
  end_work(BusyPurpose::checkpoint, begin);
  if (unusable) {
    block_failed(block, "its state after " + std::to_string(block.state.step) + " steps is not one to go on from (" +
                            *unusable + "); it was not saved");
    return false;
  }
  saved = block.state.step;
  return true;
}

std::int64_t Worker::end_work(BusyPurpose purpose, std::int64_t busy_begin) {
  WorkRecord r;
  r.rank = parts_.world.rank();
  r.host = parts_.host;
  r.purpose = purpose;
  r.busy_begin = busy_begin;
  r.busy_end = monotonic_ns();
  parts_.reporter.ring().push(r);
  return r.busy_end - r.busy_begin;
}

comm::Traffic Worker::traffic() const {
  comm::Traffic t = parts_.world.traffic();
  const auto add = [&t](const comm::Traffic& more) {
    for (std::size_t p = 0; p < comm::traffic_purposes; ++p) {
      t.bytes[p] += more.bytes[p];
      t.calls[p] += more.calls[p];
    }
  };
  add(parts_.transport.traffic());
  if (parts_.shared != nullptr) add(parts_.shared->traffic());
  if (parts_.replicas.host != nullptr) add(parts_.replicas.host->traffic());
  if (parts_.replicas.device != nullptr) add(parts_.replicas.device->traffic());
  return t;
}

}  // namespace blocktrain::trainer
