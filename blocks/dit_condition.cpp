#include "blocks/dit_condition.hpp"

namespace blocktrain::blocks {

using kernels::Ops;
using kernels::Tensor;

ConditionActivations ConditionActivations::allocate(kernels::Arena& arena, kernels::DType dtype,
                                                    const DitConfig& config, std::int64_t samples, bool for_training) {
  const auto rows_of = [&](std::int64_t columns) { return arena.allocate(dtype, {samples, columns}); };
  ConditionActivations a;
  a.index = arena.allocate(kernels::DType::int32, {samples});
  a.features = rows_of(config.noise_features);
  a.hidden = rows_of(config.width);
  a.activated = rows_of(config.width);
  a.sum = rows_of(config.width);
  a.out = rows_of(config.width);
  if (for_training) a.gradient = rows_of(config.width);
  return a;
}

ConditionActivations ConditionActivations::first(std::int64_t samples) const {
  const auto cut = [samples](const Tensor& t) { return t.empty() ? t : t.rows(0, samples); };
  return {cut(index), cut(features), cut(hidden), cut(activated), cut(sum), cut(out), cut(gradient)};
}

Condition::Condition(ParameterLayout& layout, const DitConfig& config, const std::string& prefix)
    : none_(static_cast<std::int32_t>(config.classes)),
      input_(layout, prefix + ".noise_embedding.input", config.width, config.noise_features, Linear::Start::small),
      output_(layout, prefix + ".noise_embedding.output", config.width, config.width, Linear::Start::small) {
  table_.index = layout.add_normal(prefix + ".class_embedding.table", config.classes + 1, config.width, 0.02, true);
}

void Condition::bind_parameters(const Tensor& flat, const std::vector<Parameter>& list) {
  input_.bind_parameters(flat, list);
  output_.bind_parameters(flat, list);
  table_.bind_value(flat, list);
}

void Condition::bind_gradient(const Tensor& flat, const std::vector<Parameter>& list) {
  input_.bind_gradient(flat, list);
  output_.bind_gradient(flat, list);
  table_.bind_gradient(flat, list);
}

void Condition::forward(Ops& ops, const ConditionActivations& kept, const Tensor& sigma) const {
  ops.noise_features(kept.features, sigma);
  input_.forward(ops, kept.hidden, kept.features);
  ops.silu_forward(kept.activated, kept.hidden);
  output_.forward(ops, kept.sum, kept.activated);
  ops.embedding_forward(kept.out, table_.value, kept.index);
  ops.add(kept.sum, kept.out);
  ops.silu_forward(kept.out, kept.sum);
}

void Condition::backward(Ops& ops, const ConditionActivations& kept, kernels::GradientWrite write) const {
  const Tensor& dsum = kept.gradient;
  ops.silu_backward(dsum, kept.gradient, kept.sum);
  if (write == kernels::GradientWrite::replace) ops.fill(table_.gradient, 0);
  ops.embedding_backward(table_.gradient, dsum, kept.index);
  output_.backward_parameters(ops, dsum, kept.activated, write);
  const Tensor& dhidden = kept.out;
  output_.backward_input(ops, dhidden, dsum);
  ops.silu_backward(dhidden, dhidden, kept.hidden);
  input_.backward_parameters(ops, dhidden, kept.features, write);
}

}  // namespace blocktrain::blocks
