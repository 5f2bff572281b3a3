#include "trainer/run/block_step.hpp"

#include <algorithm>
#include <cmath>
#include <span>

#include "trainer/run/learning_rate.hpp"

namespace blocktrain::trainer {
namespace {

using kernels::Tensor;

double sum(const Tensor& per_sample) {
  double total = 0;
  for (std::int64_t n = 0; n < per_sample.size(); ++n) total += static_cast<double>(per_sample.as<float>()[n]);
  return total;
}

/// Writes the inputs of step `step` to where the ops read them.
void begin_step(kernels::StepState& s, const BlockStepSettings& settings, std::int64_t step) {
  const OptimizerConfig& o = settings.optimizer;
  const auto updates = static_cast<double>(step + 1);
  s.step = static_cast<std::uint32_t>(step);
  s.learning_rate = static_cast<float>(learning_rate(o, settings.decay_steps, step));
  s.bias_correction1 = static_cast<float>(1 - std::pow(o.betas[0], updates));
  s.bias_correction2 = static_cast<float>(1 - std::pow(o.betas[1], updates));
  s.clip_norm = static_cast<float>(o.clip_norm);
  s.gradient_square_sum = 0;
  s.gradient_scale = 1;
  s.finite = 1;
}

/// AdamW over runs of neighbouring parameters that share a weight decay.
void update(kernels::Ops& ops, const blocks::Denoiser& denoiser, const BlockState& state, const Tensor& gradient,
            const OptimizerConfig& o) {
  kernels::AdamWParameters adamw;
  adamw.beta1 = o.betas[0];
  adamw.beta2 = o.betas[1];
  adamw.epsilon = o.epsilon;
  const auto& parameters = denoiser.parameters();
  const std::int64_t end_of_all = denoiser.parameter_elements();
  std::size_t i = 0;
  while (i < parameters.size()) {
    const std::size_t first = i;
    const bool uniform = o.weight_decay == 0;
    while (i < parameters.size() && (uniform || parameters[i].decays == parameters[first].decays)) ++i;
    const std::int64_t begin = parameters[first].offset;
    const std::int64_t end = i < parameters.size() ? parameters[i].offset : end_of_all;
    adamw.weight_decay = parameters[first].decays ? o.weight_decay : 0.0;
    ops.adamw(state.parameters.rows(begin, end), state.first_moment.rows(begin, end),
              state.second_moment.rows(begin, end), {}, gradient.rows(begin, end), state.step_state, adamw);
  }
  if (!state.average.empty())
    ops.exponential_average(state.average, state.parameters, o.average_decay, state.step_state);
}

}  // namespace

StepOutcome take_block_step(kernels::Ops& ops, blocks::Denoiser& denoiser, BlockState& state, const Tensor& gradient,
                            const HostBatch& batch, const BlockStepSettings& settings, comm::Communicator* replicas,
                            bool ask_to_stop) {
  BLOCKTRAIN_EXPECTS(gradient.size() == denoiser.parameter_elements() + gradient_tail);
  kernels::StepState& s = *state.step_state;
  begin_step(s, settings, state.step);
  ops.fill(gradient, 0);

  blocks::StepSettings step;
  step.seed = settings.seed;
  step.interval = settings.interval;
  step.weighting = settings.weighting;
  step.loss_scale = 1.0 / static_cast<double>(settings.global_batch);
  step.state = &s;

  StepOutcome outcome;
  const std::int64_t samples = batch.images.dim(0);
  for (std::int64_t begin = 0; begin < samples; begin += settings.micro_batch) {
    const std::int64_t end = std::min(begin + settings.micro_batch, samples);
    const blocks::Batch micro{batch.images.rows(begin, end), batch.labels.rows(begin, end),
                              batch.first_sample + static_cast<std::uint32_t>(begin)};
    const blocks::SampleLosses losses = denoiser.accumulate_gradient(ops, micro, step);
    ops.synchronize();
    outcome.loss_sum += sum(losses.loss);
    outcome.mse_sum += sum(losses.mse);
  }
  outcome.samples = samples;
  outcome.learning_rate = static_cast<double>(s.learning_rate);
  outcome.stop = ask_to_stop;

  if (replicas != nullptr && replicas->size() > 1) {
    // The wish to stop travels with the gradient, so that all replicas stop after the same step.
    float* values = gradient.as<float>();
    values[denoiser.parameter_elements()] = ask_to_stop ? 1.0f : 0.0f;
    replicas->all_reduce({values, static_cast<std::size_t>(gradient.size())}, comm::TrafficPurpose::replica);
    outcome.stop = values[denoiser.parameter_elements()] > 0;
  }

  const Tensor flat = gradient.rows(0, denoiser.parameter_elements());
  ops.sum_squares(&s, flat);
  ops.clip_gradient(&s);
  update(ops, denoiser, state, flat, settings.optimizer);
  ops.synchronize();

  outcome.gradient_norm = std::sqrt(s.gradient_square_sum);
  // Replicas hold the same sum, so they agree on this without another message.
  outcome.finite = s.finite != 0;
  if (outcome.finite) ++state.step;
  return outcome;
}

}  // namespace blocktrain::trainer
