#pragma once
/// From the first token of a sample to the network's output F: its norm, modulated, and for a denoiser a matrix.
/// Private to a block.

#include <cstdint>
#include <optional>
#include <string>

#include "blocks/layers/layer_scratch.hpp"
#include "blocks/layers/linear.hpp"
#include "blocks/layers/output_norm.hpp"

namespace blocktrain::blocks {

class TokenHead {
 public:
  /// Registers PREFIX.output.modulation, zeros at the start, and PREFIX.output.linear; without conditioning
  /// PREFIX.output.norm alone: F is the norm. The matrix does not start at zeros as that of images does: classes are
  /// read off F by another one, and gates that start at 0 would learn nothing before it.
  TokenHead(ParameterLayout& layout, std::int64_t width, bool conditioned, const std::string& prefix);

  /// f[n,C], of the precise type, from x[n,T,C], T at least 2; conditioning: as Modulation::forward. modulation [n,2C]
  /// is kept. Uses all of scratch but flow and output.
  void forward(kernels::Ops& ops, const kernels::Tensor& f, const kernels::Tensor& modulation, const kernels::Tensor& x,
               const kernels::Tensor& conditioning, const LayerScratch& scratch) const;
  /// scratch.flow = gradient of x from df; adds into dconditioning [n,C] where there is one and writes the parameters'
  /// gradients. Uses all of scratch.
  void backward(kernels::Ops& ops, const kernels::Tensor& dconditioning, const kernels::Tensor& df,
                const kernels::Tensor& modulation, const kernels::Tensor& x, const kernels::Tensor& conditioning,
                const LayerScratch& scratch, kernels::GradientWrite write) const;

  double flops_per_sample() const { return norm_.flops_per_sample() + (linear_ ? linear_->flops_per_row() : 0); }

 private:
  /// What the norm reads and gives, of n samples.
  struct Normed {
    kernels::Tensor token, out;  // [n,1,C]
    kernels::Tensor mean, rstd;  // [n,1]
  };
  Normed normed(kernels::Ops& ops, const kernels::Tensor& modulation, const kernels::Tensor& x,
                const LayerScratch& scratch) const;

  std::int64_t width_;
  OutputNorm norm_;
  std::optional<Linear> linear_;
};

/// The first token of each sample of x[n,T,C], and the others as one row per sample.
kernels::Tensor first_tokens(const kernels::Tensor& x);
kernels::Tensor other_tokens(const kernels::Tensor& x);

}  // namespace blocktrain::blocks
