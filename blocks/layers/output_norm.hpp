#pragma once
/// The norm behind the last layer, modulated by SiLU(c) or by learnt constants: where every head begins. Private to a
/// block.

#include <cstdint>
#include <string>

#include "blocks/layers/modulation.hpp"

namespace blocktrain::blocks {

class OutputNorm {
 public:
  /// Registers PREFIX.output.modulation, or without conditioning PREFIX.output.norm; zeros at the start.
  OutputNorm(ParameterLayout& layout, std::int64_t width, bool conditioned, const std::string& prefix);

  /// modulation[n,2C], which is kept, from conditioning, as Modulation::forward.
  void modulate(kernels::Ops& ops, const kernels::Tensor& modulation, const kernels::Tensor& conditioning) const;
  /// out[n,T,C] = norm(x) * (1 + scale) + shift; mean and rstd [n,T] are for the backward pass.
  void forward(kernels::Ops& ops, const kernels::Tensor& out, const kernels::Tensor& mean, const kernels::Tensor& rstd,
               const kernels::Tensor& x, const kernels::Tensor& modulation) const;
  /// Adds the gradients into dx[n,T,C] and dconditioning[n,C], where there is one, and writes those of the parameters.
  /// dmodulation[n,2C] is scratch.
  void backward(kernels::Ops& ops, const kernels::Tensor& dconditioning, const kernels::Tensor& dx,
                const kernels::Tensor& dmodulation, const kernels::Tensor& dout, const kernels::Tensor& x,
                const kernels::Tensor& mean, const kernels::Tensor& rstd, const kernels::Tensor& modulation,
                const kernels::Tensor& conditioning, kernels::GradientWrite write) const;

  double flops_per_sample() const { return modulation_.flops_per_sample(); }

 private:
  kernels::Tensor shift(const kernels::Tensor& modulation) const { return modulation.columns(0, width_); }
  kernels::Tensor scale(const kernels::Tensor& modulation) const { return modulation.columns(width_, 2 * width_); }

  std::int64_t width_;
  Modulation modulation_;
};

}  // namespace blocktrain::blocks
