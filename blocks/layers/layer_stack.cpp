#include "blocks/layers/layer_stack.hpp"

#include <algorithm>
#include <utility>

namespace blocktrain::blocks {

using kernels::Ops;
using kernels::Tensor;

LayerStack::LayerStack(ParameterLayout& layout, const LayerShape& shape, ActivationCheckpointing checkpointing,
                       std::int64_t rows_at_once, int first, int count)
    : shape_(shape), checkpointing_(checkpointing), rows_at_once_(rows_at_once) {
  for (int i = 0; i < count; ++i) layers_.emplace_back(layout, shape, first + i);
}

std::int64_t LayerStack::samples_at_once(std::int64_t samples) const {
  return std::min(samples, (rows_at_once_ + shape_.tokens - 1) / shape_.tokens);
}

void LayerStack::bind(kernels::Arena& arena, kernels::DType dtype, std::int64_t columns, std::int64_t samples,
                      Pass pass, const Tensor& angles) {
  const std::int64_t chunk = samples_at_once(samples);
  const auto tokens_of = [&](std::int64_t n) { return arena.allocate(dtype, {n, shape_.tokens, shape_.width}); };
  Memory m;
  if (pass == Pass::training) {
    for (std::size_t i = 0; i <= layers_.size(); ++i) m.streams.push_back(tokens_of(samples));
    for (std::size_t i = 0; i < (checkpoints() ? 1 : layers_.size()); ++i) {
      m.layers.push_back(LayerActivations::allocate(arena, dtype, shape_, checkpoints() ? chunk : samples,
                                                    shape_.keeps_cheap && !checkpoints()));
    }
  } else {
    m.streams.push_back(tokens_of(chunk));
    m.attention = tokens_of(chunk);
    m.log_sum_exp = arena.allocate(kernels::precise(dtype), {chunk, shape_.heads, shape_.tokens});
  }
  m.scratch = LayerScratch::allocate(arena, dtype, shape_, columns, chunk);
  m.angles = angles;
  (pass == Pass::training ? training_ : inference_) = std::move(m);
}

void LayerStack::begin(std::int64_t samples, Pass pass, const Dropout& dropout) {
  samples_ = samples;
  pass_ = pass;
  dropout_ = dropout;
}

Tensor LayerStack::stream(std::size_t i, Range r) const {
  return (pass_ == Pass::training ? training_.streams[i] : inference_.streams.front()).rows(r.begin, r.end);
}

LayerActivations LayerStack::activations(std::size_t i, Range r) const {
  const Tensor input = stream(i, r);
  if (pass_ == Pass::inference) {
    return LayerActivations::transient(shape_, input, inference_.attention.rows(r.begin, r.end),
                                       inference_.log_sum_exp.rows(r.begin, r.end), scratch(r));
  }
  return checkpoints() ? training_.layers.front().rows(0, r.size(), input)
                       : training_.layers[i].rows(r.begin, r.end, input);
}

void LayerStack::forward(Ops& ops, const Tensor& conditioning, Range r) const {
  const LayerContext at = context(conditioning, r);
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    layers_[i].forward(ops, stream(i + 1, r), activations(i, r), at, scratch(r));
  }
}

void LayerStack::backward(Ops& ops, const Tensor& dconditioning, const Tensor& conditioning, Range r,
                          kernels::GradientWrite write) const {
  const std::size_t run_again = layers_run_again(samples_);
  const LayerContext at = context(conditioning, r);
  for (std::size_t i = layers_.size(); i-- > 0;) {
    const LayerActivations kept = activations(i, r);
    if (i < run_again) layers_[i].forward_again(ops, kept, at, scratch(r));
    layers_[i].backward(ops, dconditioning, kept, at, scratch(r), write);
  }
}

std::size_t LayerStack::layers_run_again(std::int64_t samples) const {
  if (!checkpoints()) return 0;
  return layers_.size() - (samples_at_once(samples) == samples ? 1 : 0);
}

double LayerStack::product_flops() const {
  double flops = 0;
  for (const TransformerLayer& layer : layers_) {
    flops += static_cast<double>(shape_.tokens) * layer.flops_per_token() + layer.flops_per_sample();
  }
  return flops;
}

double LayerStack::attention_flops() const {
  return static_cast<double>(layers_.size()) * layers_.front().attention_flops(shape_.tokens);
}

double LayerStack::recomputed_flops(std::int64_t samples) const {
  const TransformerLayer& any = layers_.front();  // all are of one size
  const double layer = static_cast<double>(shape_.tokens) * any.flops_per_token() + any.flops_per_sample() +
                       any.attention_flops(shape_.tokens);
  return static_cast<double>(samples) * static_cast<double>(layers_run_again(samples)) * layer;
}

}  // namespace blocktrain::blocks
