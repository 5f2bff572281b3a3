#pragma once
/// Logits of classes from rows of numbers, and back: a linear layer between tensors of the precise type, computed in
/// the type of the network. Private to a block.

#include <cstdint>
#include <string>

#include "blocks/layers/linear.hpp"
#include "kernels/arena.hpp"

namespace blocktrain::blocks {

class ClassHead {
 public:
  /// Registers PREFIX.classifier, [classes, width].
  ClassHead(ParameterLayout& layout, std::int64_t classes, std::int64_t width, const std::string& prefix)
      : classes_(classes),
        width_(width),
        linear_(layout, prefix + ".classifier", classes, width, Linear::Start::xavier) {}

  /// Takes what up to `rows` rows need.
  void bind(kernels::Arena& arena, kernels::DType dtype, std::int64_t rows) {
    x_ = logits_ = {};
    if (dtype == kernels::precise(dtype)) return;
    x_ = arena.allocate(dtype, {rows, width_});
    logits_ = arena.allocate(dtype, {rows, classes_});
  }

  /// logits[R,classes] from x[R,width].
  void forward(kernels::Ops& ops, const kernels::Tensor& logits, const kernels::Tensor& x) const {
    const kernels::Tensor out = in_type(logits_, logits);
    linear_.forward(ops, out, converted(ops, x_, x));
    if (!logits_.empty()) ops.convert(logits, out);
  }
  /// dx[R,width] from dlogits, and the parameters' gradients; x as in forward(), whose memory dx may be.
  void backward(kernels::Ops& ops, const kernels::Tensor& dx, const kernels::Tensor& dlogits, const kernels::Tensor& x,
                kernels::GradientWrite write) const {
    const kernels::Tensor dout = converted(ops, logits_, dlogits);
    linear_.backward_parameters(ops, dout, converted(ops, x_, x), write);
    linear_.backward_input(ops, dx, dout);
  }

  double flops_per_row() const { return linear_.flops_per_row(); }

 private:
  /// The first rows of `own`, as many as `like` has; `like` itself where none is needed.
  static kernels::Tensor in_type(const kernels::Tensor& own, const kernels::Tensor& like) {
    return own.empty() ? like : own.rows(0, like.dim(0));
  }
  static kernels::Tensor converted(kernels::Ops& ops, const kernels::Tensor& own, const kernels::Tensor& x) {
    const kernels::Tensor out = in_type(own, x);
    if (!own.empty()) ops.convert(out, x);
    return out;
  }

  std::int64_t classes_, width_;
  Linear linear_;
  kernels::Tensor x_, logits_;  // in the network's type, where that is another
};

}  // namespace blocktrain::blocks
