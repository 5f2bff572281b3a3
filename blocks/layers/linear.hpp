#pragma once
/// A linear layer: y = x weight^T + bias.

#include <cstdint>
#include <string>

#include "blocks/parameters.hpp"
#include "kernels/ops.hpp"

namespace blocktrain::blocks {

class Linear {
 public:
  enum class Start {
    xavier,  ///< Xavier uniform
    zeros,   ///< adaLN-Zero: the layer starts without effect
    small,   ///< normal, deviation 0.02
  };

  /// Registers NAME.weight [outputs, inputs] and NAME.bias [outputs] (zeros).
  Linear(ParameterLayout& layout, const std::string& name, std::int64_t outputs, std::int64_t inputs, Start start);

  /// y[R,outputs] from x[R,inputs]; both of any rank with as many rows.
  void forward(kernels::Ops& ops, const kernels::Tensor& y, const kernels::Tensor& x) const;
  /// The same with `bias` [outputs] in the place of its own; y, and then the bias, may be of the precise type.
  void forward(kernels::Ops& ops, const kernels::Tensor& y, const kernels::Tensor& x,
               const kernels::Tensor& bias) const;
  const kernels::Tensor& bias() const { return bias_.value(); }
  /// pre[R,outputs] as forward() gives it, out = gelu(pre); out may be pre.
  void forward_gelu(kernels::Ops& ops, const kernels::Tensor& out, const kernels::Tensor& pre,
                    const kernels::Tensor& x) const;
  /// Of a layer whose input was gelu(pre), which `before` gave by forward_gelu: everything its gradient dy asks for,
  /// dpre, which with `kept` holds that input until then, and the gradient of before's bias. Destroys pre.
  void backward_gelu(kernels::Ops& ops, const Linear& before, const kernels::Tensor& dpre, const kernels::Tensor& dy,
                     const kernels::Tensor& pre, bool kept, kernels::GradientWrite write) const;
  /// Writes the gradient of the weight.
  void backward_weight(kernels::Ops& ops, const kernels::Tensor& dy, const kernels::Tensor& x,
                       kernels::GradientWrite write) const;
  /// Writes the gradients of weight and bias.
  void backward_parameters(kernels::Ops& ops, const kernels::Tensor& dy, const kernels::Tensor& x,
                           kernels::GradientWrite write) const;
  /// dx = dy weight, or dx += with `accumulate`. Apart from backward_parameters, so that dx may take the place of x.
  void backward_input(kernels::Ops& ops, const kernels::Tensor& dx, const kernels::Tensor& dy,
                      bool accumulate = false) const;

  /// Floating-point operations of forward per row.
  double flops_per_row() const { return 2.0 * static_cast<double>(outputs_) * static_cast<double>(inputs_); }

 private:
  /// [.., columns] as a matrix.
  static kernels::Tensor matrix(const kernels::Tensor& t, std::int64_t columns);

  std::int64_t outputs_, inputs_;
  BoundParameter weight_, bias_;
};

}  // namespace blocktrain::blocks
