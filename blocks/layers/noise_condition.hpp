#pragma once
/// What a block is conditioned on: c = MLP(features of c_noise(sigma)), + table[label] where labels are given (method:
/// section 1, noise conditioning), of which layers see SiLU(c). Private to a block.

#include <cstdint>
#include <string>

#include "blocks/layers/linear.hpp"
#include "kernels/arena.hpp"

namespace blocktrain::blocks {

struct ConditionShape {
  std::int64_t width = 4;     ///< C, of a token
  std::int64_t features = 2;  ///< of the noise level
  std::int64_t classes = 1;   ///< labels that the table has a row for, beside one for "none"; 0: no table
};

/// Tensors of N samples, kept from forward to backward.
struct ConditionActivations {
  kernels::Tensor index;      ///< int32 [N] row of the class table; empty where there is none
  kernels::Tensor features;   ///< [N,features]
  kernels::Tensor hidden;     ///< [N,C] before its SiLU
  kernels::Tensor activated;  ///< [N,C] after it
  kernels::Tensor sum;        ///< c [N,C]
  kernels::Tensor out;        ///< SiLU(c) [N,C]
  kernels::Tensor gradient;   ///< [N,C] of SiLU(c): layers add into it; empty for inference

  static ConditionActivations allocate(kernels::Arena& arena, kernels::DType dtype, const ConditionShape& shape,
                                       std::int64_t samples, bool for_training);
  /// The same for the first `samples` samples.
  ConditionActivations first(std::int64_t samples) const;
};

class NoiseCondition {
 public:
  /// Registers PREFIX.noise_embedding.{input,output} and, for classes, PREFIX.class_embedding.table [classes + 1, C],
  /// the last row for "none".
  NoiseCondition(ParameterLayout& layout, const ConditionShape& shape, const std::string& prefix);

  /// Row of the class table that stands for "none".
  std::int32_t none() const { return none_; }

  /// kept.out from sigma [N] and kept.index.
  void forward(kernels::Ops& ops, const ConditionActivations& kept, const kernels::Tensor& sigma) const;
  /// Writes the parameters' gradients, from kept.gradient. Destroys kept.gradient and kept.out.
  void backward(kernels::Ops& ops, const ConditionActivations& kept, kernels::GradientWrite write) const;

  double flops_per_sample() const { return input_.flops_per_row() + output_.flops_per_row(); }
  /// Of those, what has a gradient with respect to its input: the features have none.
  double differentiated_flops_per_sample() const { return output_.flops_per_row(); }

 private:
  std::int32_t none_;
  Linear input_, output_;
  bool has_table_;
  BoundParameter table_;
};

}  // namespace blocktrain::blocks
