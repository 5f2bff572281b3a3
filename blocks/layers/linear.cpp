#include "blocks/layers/linear.hpp"

namespace blocktrain::blocks {

using kernels::Ops;
using kernels::Tensor;

Linear::Linear(ParameterLayout& layout, const std::string& name, std::int64_t outputs, std::int64_t inputs, Start start)
    : outputs_(outputs), inputs_(inputs) {
  const std::string weight = name + ".weight";
  switch (start) {
    case Start::xavier:
      weight_ = layout.add_xavier(weight, outputs, inputs);
      break;
    case Start::zeros:
      weight_ = layout.add_zeros(weight, {outputs, inputs});
      break;
    case Start::small:
      weight_ = layout.add_normal(weight, outputs, inputs, 0.02, false);
      break;
  }
  bias_ = layout.add_zeros(name + ".bias", {outputs});
}

Tensor Linear::matrix(const Tensor& t, std::int64_t columns) {
  return t.rank == 2 ? t : t.reshaped({t.size() / columns, columns});
}

void Linear::forward(Ops& ops, const Tensor& y, const Tensor& x) const { forward(ops, y, x, bias_.value()); }

void Linear::forward(Ops& ops, const Tensor& y, const Tensor& x, const Tensor& bias) const {
  ops.linear_forward(matrix(y, outputs_), matrix(x, inputs_), weight_.value(), bias);
}

void Linear::forward_gelu(Ops& ops, const Tensor& out, const Tensor& pre, const Tensor& x) const {
  ops.linear_gelu_forward(matrix(out, outputs_), matrix(pre, outputs_), matrix(x, inputs_), weight_.value(),
                          bias_.value());
}

void Linear::backward_gelu(Ops& ops, const Linear& before, const Tensor& dpre, const Tensor& dy, const Tensor& pre,
                           bool kept, kernels::GradientWrite write) const {
  ops.gelu_linear_backward(matrix(dpre, inputs_), before.bias_.gradient(), weight_.gradient(), bias_.gradient(),
                           matrix(dy, outputs_), matrix(pre, inputs_), weight_.value(), kept, write);
}

void Linear::backward_weight(Ops& ops, const Tensor& dy, const Tensor& x, kernels::GradientWrite write) const {
  ops.linear_backward({}, weight_.gradient(), {}, matrix(dy, outputs_), matrix(x, inputs_), weight_.value(), false,
                      write);
}

void Linear::backward_parameters(Ops& ops, const Tensor& dy, const Tensor& x, kernels::GradientWrite write) const {
  ops.linear_backward({}, weight_.gradient(), bias_.gradient(), matrix(dy, outputs_), matrix(x, inputs_),
                      weight_.value(), false, write);
}

void Linear::backward_input(Ops& ops, const Tensor& dx, const Tensor& dy, bool accumulate) const {
  ops.matmul(matrix(dx, inputs_), matrix(dy, outputs_), false, weight_.value(), false, accumulate);
}

}  // namespace blocktrain::blocks
