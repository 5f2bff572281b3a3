#include "blocks/block.hpp"

#include <algorithm>
#include <utility>

#include "kernels/error.hpp"

namespace blocktrain::blocks {

using kernels::Arena;
using kernels::DType;
using kernels::GradientWrite;
using kernels::Ops;
using kernels::Purpose;
using kernels::RandomKey;
using kernels::Tensor;

namespace {

/// Calls body(range) for consecutive ranges of at most `chunk` samples. A template, for std::function allocates.
template <class Body>
void for_each_chunk(std::int64_t samples, std::int64_t chunk, const Body& body) {
  for (std::int64_t begin = 0; begin < samples; begin += chunk) body(Range{begin, std::min(begin + chunk, samples)});
}

}  // namespace

Block::Block(const BlockPlace& place, std::unique_ptr<Network> network, std::unique_ptr<Objective> objective,
             ParameterLayout layout)
    : place_(place),
      network_(std::move(network)),
      objective_(std::move(objective)),
      elements_(layout.elements()),
      tensors_(layout.tensors()),
      parameters_(layout.take()),
      padding_(padding_of(parameters_, elements_)),
      undecayed_(undecayed_of(parameters_, elements_)),
      shared_(shared_of(parameters_)) {
  BLOCKTRAIN_EXPECTS(place.layers >= 1 && place.first_layer >= 0 && place.index >= 0 && place.index < place.count);
}

Flops Block::flops() const {
  const Flops layers = network_->flops(), head = objective_->flops();
  return {layers.forward + head.forward, layers.training + head.training};
}

void Block::bind_parameters(const Tensor& flat) {
  BLOCKTRAIN_EXPECTS(flat.size() == elements_);
  bind_tensors(tensors_->values, parameters_, flat);
}

void Block::bind_gradient(const Tensor& flat) {
  BLOCKTRAIN_EXPECTS(flat.size() == elements_);
  gradient_ = flat;
  bind_tensors(tensors_->gradients, parameters_, flat);
}

void Block::bind_losses(Arena& arena, DType dtype, std::int64_t samples, Memory& memory) const {
  memory.loss = arena.allocate(kernels::precise(dtype), {samples});
  memory.unweighted = arena.allocate(kernels::precise(dtype), {samples});
}

void Block::bind_training(Arena& arena, DType dtype, std::int64_t samples) {
  BLOCKTRAIN_EXPECTS(samples >= 1);
  network_->bind(arena, dtype, samples, Pass::training);  // first: see Network::bind
  objective_->bind(arena, dtype, samples, Pass::training);
  Memory m;
  m.noisy = objective_->allocate_noisy(arena, dtype, samples);
  m.level = allocate_levels(arena, dtype, samples);
  m.out = network_->allocate_output(arena, dtype, samples);
  if (objective_->trains_target()) m.dnoisy = objective_->allocate_noisy(arena, dtype, samples);
  bind_losses(arena, dtype, samples, m);
  training_ = m;
}

void Block::bind_inference(Arena& arena, DType dtype, std::int64_t samples) {
  BLOCKTRAIN_EXPECTS(samples >= 1);
  const std::int64_t chunk = network_->samples_at_once(samples);
  network_->bind(arena, dtype, samples, Pass::inference);
  objective_->bind(arena, dtype, chunk, Pass::inference);
  Memory m;
  m.noisy = objective_->allocate_noisy(arena, dtype, chunk);
  m.out = network_->allocate_output(arena, dtype, chunk);
  bind_losses(arena, dtype, samples, m);
  inference_ = m;
}

Tensor Block::allocate_levels(Arena& arena, DType dtype, std::int64_t samples) const {
  const std::int64_t levels = objective_->levels_per_sample();
  if (levels == 0) return {};
  if (levels == 1) return arena.allocate(kernels::precise(dtype), {samples});
  return arena.allocate(kernels::precise(dtype), {samples, levels});
}

SampleLosses Block::accumulate_gradient(Ops& ops, const Batch& batch, const StepSettings& settings) {
  const Range all{0, batch.samples()};
  BLOCKTRAIN_EXPECTS(!training_.loss.empty() && all.end <= training_.loss.dim(0));
  const auto key = [&](Purpose purpose) {
    return RandomKey{settings.seed, purpose, static_cast<std::uint32_t>(place_.index)};
  };
  NetworkInput input;
  input.batch = batch;
  input.noisy = rows_of(training_.noisy, all);
  input.level = rows_of(training_.level, all);
  input.of_samples = settings.global_batch;
  input.pass = Pass::training;
  input.key = key({});
  input.state = settings.state;
  objective_->begin(ops, Pass::training);
  objective_->draw_levels(
      ops, input.level,
      {settings.interval, key(Purpose::sigma), settings.state, batch.first_sample, settings.global_batch});
  objective_->add_noise(ops, input, key(Purpose::noise), settings.state);
  return train(ops, input, 1.0 / static_cast<double>(settings.global_batch), settings.gradient);
}

SampleLosses Block::accumulate_gradient_at(Ops& ops, NetworkInput input, double loss_scale) {
  BLOCKTRAIN_EXPECTS(!training_.loss.empty() && input.samples() <= training_.loss.dim(0));
  input.pass = Pass::training;
  objective_->begin(ops, Pass::training);
  return train(ops, input, loss_scale, GradientWrite::add);
}

SampleLosses Block::train(Ops& ops, const NetworkInput& input, double loss_scale, GradientWrite write) {
  const Range all{0, input.samples()};
  const std::int64_t chunk = network_->samples_at_once(all.end);
  const Tensor out = rows_of(training_.out, all), dnoisy = rows_of(training_.dnoisy, all);
  const SampleLosses losses{input.level, rows_of(training_.loss, all), rows_of(training_.unweighted, all)};
  const Tensor& dout = out;  // takes its place

  network_->begin(ops, input);
  for_each_chunk(all.end, chunk, [&](Range r) { network_->forward(ops, rows_of(out, r), r); });
  if (write == GradientWrite::replace) {
    for (const kernels::ElementRange& p : padding_) ops.fill(gradient_.rows(p.begin, p.end), 0);
  }
  objective_->loss(ops, losses, {dout, dnoisy}, out, input, loss_scale, write);
  for_each_chunk(all.end, chunk, [&](Range r) {
    network_->backward(ops, rows_of(dout, r), rows_of(dnoisy, r), r, r.begin == 0 ? write : GradientWrite::add);
  });
  network_->finish(ops, write);
  if (objective_->trains_target()) objective_->finish(ops, dnoisy, input, write);
  return losses;
}

Tensor Block::infer(Ops& ops, const NetworkInput& input) {
  const Range all{0, input.samples()};
  const Tensor out = rows_of(inference_.out, all);
  network_->begin(ops, input);
  network_->forward(ops, out, all);
  return out;
}

namespace {

RandomKey evaluation_key(const EvaluationSettings& settings) { return {settings.seed, Purpose::evaluation, 0}; }

}  // namespace

void Block::add_noise(Ops& ops, const NetworkInput& input, const EvaluationSettings& settings) const {
  BLOCKTRAIN_EXPECTS(!inference_.loss.empty());
  objective_->begin(ops, Pass::inference);
  for_each_chunk(input.samples(), inference_.out.dim(0),
                 [&](Range r) { objective_->add_noise(ops, input.rows(r), evaluation_key(settings), settings.state); });
}

SampleLosses Block::evaluate(Ops& ops, const Batch& batch, const Tensor& level, const EvaluationSettings& settings) {
  const Range all{0, batch.samples()};
  BLOCKTRAIN_EXPECTS(!inference_.loss.empty() && all.end <= inference_.loss.dim(0));
  BLOCKTRAIN_EXPECTS(level.empty() || level.dim(0) == all.end);
  const RandomKey key = evaluation_key(settings);
  const SampleLosses losses{level, rows_of(inference_.loss, all), rows_of(inference_.unweighted, all)};
  objective_->begin(ops, Pass::inference);
  for_each_chunk(all.end, inference_.out.dim(0), [&](Range r) {
    NetworkInput input;
    input.batch = batch.rows(r);
    input.noisy = rows_of(inference_.noisy, {0, r.size()});
    input.level = rows_of(level, r);
    objective_->add_noise(ops, input, key, settings.state);
    const Tensor out = infer(ops, input);
    objective_->loss(ops, {input.level, rows_of(losses.loss, r), rows_of(losses.unweighted, r)}, {}, out, input, 1,
                     GradientWrite::add);
  });
  return losses;
}

template <class Read>
void Block::infer_all(Ops& ops, const NetworkInput& input, const Read& read) {
  const std::int64_t samples = input.samples();
  BLOCKTRAIN_EXPECTS(!inference_.loss.empty() && samples <= inference_.loss.dim(0));
  BLOCKTRAIN_EXPECTS(input.pass == Pass::inference && (input.condition == Condition::given || has_condition()));
  objective_->begin(ops, Pass::inference);
  for_each_chunk(samples, inference_.out.dim(0), [&](Range r) {
    const NetworkInput part = input.rows(r);
    read(part, infer(ops, part), r);
  });
}

void Block::denoise(Ops& ops, const Tensor& d, const NetworkInput& input) {
  BLOCKTRAIN_EXPECTS(d.dim(0) == input.samples());
  infer_all(ops, input, [&](const NetworkInput& part, const Tensor& out, Range r) {
    objective_->denoise(ops, rows_of(d, r), part, out);
  });
}

void Block::estimate(Ops& ops, const Tensor& answer, const NetworkInput& input) {
  BLOCKTRAIN_EXPECTS(answer.dim(0) == input.samples());
  infer_all(ops, input, [&](const NetworkInput& part, const Tensor& out, Range r) {
    objective_->estimate(ops, rows_of(answer, r), part, out);
  });
}

}  // namespace blocktrain::blocks
