#pragma once
/// Where a layer's norms get their shift and scale, and its branches their gates: from the conditioning, as in DiT, m =
/// weight SiLU(c) + bias (method: section 1, noise conditioning); or, in a network without one, from learnt constants
/// that are the same for every sample, with gates of 1. Either starts at zeros: a gated branch is off then, an ungated
/// one is that of a plain transformer.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "blocks/layers/linear.hpp"

namespace blocktrain::blocks {

class Modulation {
 public:
  /// Of `parts` pieces of `width` numbers each, of which `gates` lists those that are gates. Registers NAME.weight and
  /// NAME.bias, or without conditioning `constants` [pieces that are no gates * width].
  Modulation(ParameterLayout& layout, const std::string& name, const std::string& constants, std::int64_t width,
             std::int64_t parts, std::vector<std::int64_t> gates, bool conditioned);

  /// m[n, parts*width] (may be strided) from `conditioning`: SiLU(c) [n,C], or ones [n,1] where there is none.
  void forward(kernels::Ops& ops, const kernels::Tensor& m, const kernels::Tensor& conditioning) const;
  /// Writes the parameters' gradients from dm, and adds that of SiLU(c) into dconditioning, where there is one.
  void backward(kernels::Ops& ops, const kernels::Tensor& dconditioning, const kernels::Tensor& dm,
                const kernels::Tensor& conditioning, kernels::GradientWrite write) const;

  double flops_per_sample() const { return linear_ ? linear_->flops_per_row() : 0; }

 private:
  /// Calls piece(columns of m, columns of the constants), both [n or 1, width], for what is no gate.
  template <class Piece>
  void for_each_constant(const kernels::Tensor& m, const kernels::Tensor& constants, const Piece& piece) const;

  std::int64_t width_, parts_;
  std::vector<std::int64_t> gates_;
  std::optional<Linear> linear_;
  BoundParameter constants_;
};

}  // namespace blocktrain::blocks
