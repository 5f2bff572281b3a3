#include "trainer/worker/block_step.hpp"

#include <algorithm>
#include <cmath>
#include <span>

#include "comm/backoff.hpp"
#include "trainer/plan/learning_rate.hpp"

namespace blocktrain::trainer {
namespace {

using kernels::CopyStream;
using kernels::Tensor;

/// The inputs of step `step`.
kernels::StepState step_inputs(const BlockStepSettings& settings, std::int64_t step) {
  kernels::StepState s;
  const OptimizerConfig& o = settings.optimizer;
  const auto updates = static_cast<double>(step + 1);
  s.step = static_cast<std::uint32_t>(step);
  s.learning_rate = static_cast<float>(learning_rate(o, settings.decay_steps, step));
  s.bias_correction1 = static_cast<float>(1 - std::pow(o.betas[0], updates));
  s.bias_correction2 = static_cast<float>(1 - std::pow(o.betas[1], updates));
  s.clip_norm = static_cast<float>(o.clip_norm);
  return s;
}

kernels::AdamWParameters adamw_parameters(const OptimizerConfig& o) {
  kernels::AdamWParameters adamw;
  adamw.beta1 = o.betas[0];
  adamw.beta2 = o.betas[1];
  adamw.epsilon = o.epsilon;
  adamw.weight_decay = o.weight_decay;
  return adamw;
}

/// AdamW over all parameters, of which some do not decay.
void update(kernels::Ops& ops, const blocks::Block& block, const BlockState& state, const Tensor& gradient,
            const OptimizerConfig& o) {
  kernels::AdamWParameters adamw = adamw_parameters(o);
  adamw.undecayed = block.undecayed();
  ops.adamw(state.parameters, state.first_moment, state.second_moment, state.working, gradient, state.step_state,
            adamw);
  if (!state.average.empty())
    ops.exponential_average(state.average, state.parameters, o.average_decay, state.step_state);
}

/// Sums the gradient over the replicas. The request to stop travels with it, so that all replicas stop after the same
/// step; `stop_requests` gets how many ask for it, when the device has come so far.
void sum_over_replicas(kernels::Device& device, const Tensor& gradient, std::int64_t elements, const Replicas& replicas,
                       const float* stop_request, float* stop_requests) {
  float* const values = gradient.as<float>();
  const std::span<float> all(values, static_cast<std::size_t>(gradient.size()));
  device.upload(values + elements, stop_request, sizeof(*stop_request));
  if (replicas.device != nullptr) {
    replicas.device->all_reduce_sum(all, comm::TrafficPurpose::replica, device.stream());
  } else {
    replicas.host->all_reduce(all, comm::TrafficPurpose::replica);
  }
  device.download_async(stop_requests, values + elements, sizeof(*stop_requests));
}

StepOutcome outcome_of(const kernels::StepState& state, std::int64_t samples) {
  StepOutcome outcome;
  outcome.loss_sum = state.loss_sum;
  outcome.mse_sum = state.mse_sum;
  outcome.samples = samples;
  outcome.learning_rate = static_cast<double>(state.learning_rate);
  outcome.gradient_norm = std::sqrt(state.gradient_square_sum);
  // Replicas hold the same sum, so they agree on this without another message.
  outcome.finite = state.finite != 0;
  return outcome;
}

/// Whether the host cannot ask for a step while the one before it runs.
bool host_takes_part(const kernels::Device& device, const Replicas& replicas) {
  return device.shares_host_memory() || (replicas.device != nullptr && !replicas.device->returns_early());
}

}  // namespace

BlockStepper::BlockStepper(kernels::Device& device, const Replicas& replicas)
    : device_(device),
      replicas_(replicas),
      most_under_way_(host_takes_part(device, replicas) ? 1 : static_cast<int>(most_steps_under_way)) {
  for (Asked& a : asked_) a.done = device.make_event();
}

void BlockStepper::read_batch(OwnedBlock& block, const blocks::Batch& batch) {
  const blocks::Range all{0, batch.samples()};
  const blocks::Batch arriving = block.arriving.rows(all), input = block.input.rows(all);
  for (std::size_t i = 0; i < blocks::most_fields; ++i) {
    const Tensor& field = batch.fields[i];
    if (!field.empty()) device_.copy_async(CopyStream::input, arriving.fields[i].data, field.data, field.bytes());
  }
  device_.ops_wait_for_copies(CopyStream::input);
  // The step's graph reads from one place; this copy on the device takes microseconds.
  for (std::size_t i = 0; i < blocks::most_fields; ++i) {
    if (!batch.fields[i].empty()) device_.ops().copy(input.fields[i], arriving.fields[i]);
  }
  device_.copies_wait_for_ops(CopyStream::input);
}

blocks::Batch BlockStepper::prepare(OwnedBlock& block, const blocks::Batch& batch, const BlockStepSettings& settings,
                                    std::size_t place) {
  BLOCKTRAIN_EXPECTS(block.gradient.size() == block.network->parameter_elements() + gradient_tail);
  kernels::StepState& state = block.step_room->asked[place];
  state = step_inputs(settings, block.state.step + under_way_);
  // Between steps that follow each other, whether one failed stays where it is.
  device_.upload(block.live.step_state, &state, under_way_ == 0 ? sizeof(state) : kernels::step_inputs_bytes);
  const bool here = device_.shares_host_memory();
  blocks::Batch input = here ? batch : block.input.rows({0, batch.samples()});
  input.first_sample = batch.first_sample;
  if (!here) read_batch(block, batch);
  return input;
}

void BlockStepper::accumulate(OwnedBlock& block, const blocks::Batch& input, const BlockStepSettings& settings) {
  kernels::Ops& ops = device_.ops();
  blocks::StepSettings step;
  step.seed = settings.seed;
  step.interval = block.interval();
  step.global_batch = settings.global_batch;
  step.state = block.live.step_state;
  // Of what travels behind it all but the request to stop is nothing.
  const std::int64_t elements = block.network->parameter_elements();
  if (!replicas_.none()) ops.fill(block.gradient.rows(elements, block.gradient.size()), 0);
  const std::int64_t samples = input.samples();
  for (std::int64_t begin = 0; begin < samples; begin += settings.micro_batch) {
    const std::int64_t end = std::min(begin + settings.micro_batch, samples);
    step.gradient = begin == 0 ? kernels::GradientWrite::replace : kernels::GradientWrite::add;
    const blocks::SampleLosses losses = block.network->accumulate_gradient(ops, input.rows({begin, end}), step);
    ops.add_losses(block.live.step_state, losses.loss, losses.unweighted);
  }
}

void BlockStepper::begin(OwnedBlock& block, const blocks::Batch& batch, const BlockStepSettings& settings,
                         bool ask_to_stop) {
  BLOCKTRAIN_EXPECTS(under_way_ < most_under_way_);
  kernels::Ops& ops = device_.ops();
  blocks::Block& network = *block.network;
  const BlockState& live = block.live;
  const std::size_t place = (oldest_ + static_cast<std::size_t>(under_way_)) % most_steps_under_way;
  const blocks::Batch input = prepare(block, batch, settings, place);
  const kernels::StepState& state = block.step_room->asked[place];
  const Tensor& gradient = block.gradient;
  const Tensor flat = gradient.rows(0, network.parameter_elements());

  // What follows asks for the same ops in every step, so that a device can capture it in a graph.
  auto accumulate_all = [&] { accumulate(block, input, settings); };
  auto apply = [&] {
    ops.sum_squares(live.step_state, flat);
    ops.clip_gradient(live.step_state);
    update(ops, network, live, flat, settings.optimizer);
  };
  kernels::Graph &first = *block.gradient_graph[block.slot], &second = *block.update_graph[block.slot];
  if (!replicas_.none()) {
    device_.launch(first, accumulate_all);
    StepRoom& room = *block.step_room;
    room.stop_request[place] = ask_to_stop ? 1.0f : 0.0f;
    sum_over_replicas(device_, gradient, network.parameter_elements(), replicas_, &room.stop_request[place],
                      &room.stop_requests[place]);
    device_.launch(second, apply);
  } else {
    auto all = [&] {
      accumulate_all();
      apply();
    };
    device_.launch(first, all);
  }
  device_.download_async(&block.step_room->done[place], live.step_state, sizeof(state));
  Asked& asked = asked_[place];
  device_.record(*asked.done);
  asked.samples = batch.samples();
  asked.stop = ask_to_stop;
  ++under_way_;
  device_.synchronize(CopyStream::input);
}

void BlockStepper::await(const Asked& asked) {
  if (replicas_.device != nullptr) {
    // A replica that is lost shows in the transport, not on the device; and the numbers are good only if it is well.
    const comm::Backoff backoff;
    while (replicas_.device->poll(device_.stream()), !device_.query(*asked.done)) backoff.pause();
  }
  device_.synchronize(*asked.done);
}

StepOutcome BlockStepper::compute_gradient(OwnedBlock& block, const blocks::Batch& batch,
                                           const BlockStepSettings& settings) {
  BLOCKTRAIN_EXPECTS(under_way_ == 0);
  StepRoom& room = *block.step_room;
  const blocks::Batch input = prepare(block, batch, settings, 0);
  auto all = [&] { accumulate(block, input, settings); };
  device_.launch(*block.gradient_graph[block.slot], all);
  if (!replicas_.none()) {
    // Whether to stop is agreed upon where the blocks meet.
    room.stop_request[0] = 0;
    sum_over_replicas(device_, block.gradient, block.network->parameter_elements(), replicas_, &room.stop_request[0],
                      &room.stop_requests[0]);
  }
  kernels::Ops& ops = device_.ops();
  kernels::StepState* const state = block.live.step_state;
  for (const UpdatePiece& piece : block.pieces) {
    if (!piece.shared) ops.sum_squares(state, block.gradient.rows(piece.range.begin, piece.range.end));
  }
  ops.clip_gradient(state);
  device_.download_async(&room.done[0], state, sizeof(*state));
  device_.record(*asked_[0].done);
  await(asked_[0]);
  device_.synchronize(CopyStream::input);
  block.computed = room.done[0];
  return outcome_of(block.computed, batch.samples());
}

void BlockStepper::apply_gradient(OwnedBlock& block, const BlockStepSettings& settings) {
  BLOCKTRAIN_EXPECTS(under_way_ == 0 && block.shared_state != nullptr);
  const OptimizerConfig& o = settings.optimizer;
  const BlockState& live = block.live;
  kernels::StepState& shared = block.step_room->asked[0];
  shared = step_inputs(settings, block.state.step);
  device_.upload(block.shared_state, &shared, sizeof(shared));
  // Another block may have been in its slot meanwhile.
  device_.upload(live.step_state, &block.computed, sizeof(block.computed));
  auto all = [&] {
    kernels::Ops& ops = device_.ops();
    for (const UpdatePiece& piece : block.pieces) {
      if (piece.shared) ops.sum_squares(block.shared_state, block.gradient.rows(piece.range.begin, piece.range.end));
    }
    ops.clip_gradient(block.shared_state);
    for (const UpdatePiece& piece : block.pieces) {
      const auto rows = [&](const Tensor& t) { return blocks::rows_of(t, {piece.range.begin, piece.range.end}); };
      kernels::AdamWParameters adamw = adamw_parameters(o);
      adamw.undecayed = piece.undecayed;
      ops.adamw(rows(live.parameters), rows(live.first_moment), rows(live.second_moment), rows(live.working),
                rows(block.gradient), piece.shared ? block.shared_state : live.step_state, adamw);
    }
    if (!live.average.empty()) ops.exponential_average(live.average, live.parameters, o.average_decay, live.step_state);
  };
  device_.launch(*block.update_graph[block.slot], all);
  device_.record(*asked_[0].done);
  await(asked_[0]);
  ++block.state.step;
}

StepOutcome BlockStepper::finish(OwnedBlock& block) {
  BLOCKTRAIN_EXPECTS(under_way_ > 0);
  const Asked& asked = asked_[oldest_];
  await(asked);
  const kernels::StepState& state = block.step_room->done[oldest_];
  const bool stop = replicas_.none() ? asked.stop : block.step_room->stop_requests[oldest_] > 0;
  oldest_ = (oldest_ + 1) % most_steps_under_way;
  --under_way_;
  StepOutcome outcome = outcome_of(state, asked.samples);
  outcome.stop = stop;
  if (outcome.finite) ++block.state.step;
  return outcome;
}

void BlockStepper::discard() {
  for (; under_way_ > 0; --under_way_) {
    await(asked_[oldest_]);
    oldest_ = (oldest_ + 1) % most_steps_under_way;
  }
}

}  // namespace blocktrain::trainer
