#pragma once
/// Logits of symbols from rows of numbers, and their cross-entropy with its gradients, some rows at a time: the logits
/// of a batch never exist at once. They are of the precise type, whatever the network computes in. Private to a block.

#include <cstdint>
#include <string>

#include "blocks/layers/linear.hpp"
#include "blocks/network.hpp"
#include "blocks/parameters.hpp"
#include "kernels/arena.hpp"

namespace blocktrain::blocks {

class LinearCrossEntropy {
 public:
  /// Registers NAME.weight [classes, width] and NAME.bias [classes]. Up to `rows_at_once` rows run together, fewer
  /// where their logits would be more than 2^26 numbers.
  LinearCrossEntropy(ParameterLayout& layout, const std::string& name, std::int64_t classes, std::int64_t width,
                     std::int64_t rows_at_once);

  /// Takes what a pass over up to `rows` rows needs.
  void bind(kernels::Arena& arena, kernels::DType dtype, std::int64_t rows, Pass pass);

  /// loss[R] of rows x[R,C] of the network's type, whose class is in labels (int32 [R]; kernels::ignored_index: 0), and
  /// where dx[R,C] is wanted the gradients of loss_scale * sum of weights[r] * loss[r]; dx may be x.
  void loss(kernels::Ops& ops, const kernels::Tensor& loss, const kernels::Tensor& dx, const kernels::Tensor& x,
            const kernels::Tensor& labels, const kernels::Tensor& weights, double loss_scale, Pass pass,
            kernels::GradientWrite write) const;
  /// logits[R,V] alone, of all rows at once.
  void logits(kernels::Ops& ops, const kernels::Tensor& logits, const kernels::Tensor& x, Pass pass) const;

  double flops_per_row() const { return linear_.flops_per_row(); }

 private:
  struct Memory {
    kernels::Tensor logits;   // of the rows at hand
    kernels::Tensor dlogits;  // in the network's type, where that is another
    kernels::Tensor bias;     // in the precise type, where the network's is another
  };
  const Memory& memory(Pass pass) const { return pass == Pass::training ? training_ : inference_; }
  /// The bias as it is now, in the type of logits.
  kernels::Tensor precise_bias(kernels::Ops& ops, const Memory& m) const;

  std::int64_t classes_, rows_at_once_;
  Linear linear_;
  Memory training_, inference_;
};

}  // namespace blocktrain::blocks
