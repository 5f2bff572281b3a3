#include "blocks/layers/noise_condition.hpp"

namespace blocktrain::blocks {

using kernels::Ops;
using kernels::Tensor;

ConditionActivations ConditionActivations::allocate(kernels::Arena& arena, kernels::DType dtype,
                                                    const ConditionShape& shape, std::int64_t samples,
                                                    bool for_training) {
  const auto rows_of = [&](std::int64_t columns) { return arena.allocate(dtype, {samples, columns}); };
  ConditionActivations a;
  if (shape.classes > 0) a.index = arena.allocate(kernels::DType::int32, {samples});
  a.features = rows_of(shape.features);
  a.hidden = rows_of(shape.width);
  a.activated = rows_of(shape.width);
  a.sum = rows_of(shape.width);
  a.out = rows_of(shape.width);
  if (for_training) a.gradient = rows_of(shape.width);
  return a;
}

ConditionActivations ConditionActivations::first(std::int64_t samples) const {
  const auto cut = [samples](const Tensor& t) { return t.empty() ? t : t.rows(0, samples); };
  return {cut(index), cut(features), cut(hidden), cut(activated), cut(sum), cut(out), cut(gradient)};
}

NoiseCondition::NoiseCondition(ParameterLayout& layout, const ConditionShape& shape, const std::string& prefix)
    : none_(static_cast<std::int32_t>(shape.classes)),
      input_(layout, prefix + ".noise_embedding.input", shape.width, shape.features, Linear::Start::small),
      output_(layout, prefix + ".noise_embedding.output", shape.width, shape.width, Linear::Start::small),
      has_table_(shape.classes > 0) {
  if (!has_table_) return;
  table_ = layout.add_normal(prefix + ".class_embedding.table", shape.classes + 1, shape.width, 0.02, true);
}

void NoiseCondition::forward(Ops& ops, const ConditionActivations& kept, const Tensor& sigma) const {
  ops.noise_features(kept.features, sigma);
  input_.forward(ops, kept.hidden, kept.features);
  ops.silu_forward(kept.activated, kept.hidden);
  output_.forward(ops, kept.sum, kept.activated);
  if (has_table_) {
    ops.embedding_forward(kept.out, table_.value(), kept.index);
    ops.add(kept.sum, kept.out);
  }
  ops.silu_forward(kept.out, kept.sum);
}

void NoiseCondition::backward(Ops& ops, const ConditionActivations& kept, kernels::GradientWrite write) const {
  const Tensor& dsum = kept.gradient;
  ops.silu_backward(dsum, kept.gradient, kept.sum);
  if (has_table_) {
    if (write == kernels::GradientWrite::replace) ops.fill(table_.gradient(), 0);
    ops.embedding_backward(table_.gradient(), dsum, kept.index);
  }
  output_.backward_parameters(ops, dsum, kept.activated, write);
  const Tensor& dhidden = kept.out;
  output_.backward_input(ops, dhidden, dsum);
  ops.silu_backward(dhidden, dhidden, kept.hidden);
  input_.backward_parameters(ops, dhidden, kept.features, write);
}

}  // namespace blocktrain::blocks
