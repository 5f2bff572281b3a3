#pragma once
/// From tokens to the network's output F, an image: norm, modulation by SiLU(c), a matrix, patches put together.
/// Private to a block. What becomes of F (D, a loss) is the objective's business.

#include <cstdint>
#include <string>

#include "blocks/layers/layer_scratch.hpp"
#include "blocks/layers/linear.hpp"
#include "blocks/layers/output_norm.hpp"
#include "blocks/layers/patch_embedding.hpp"

namespace blocktrain::blocks {

class PatchHead {
 public:
  /// Registers PREFIX.output.modulation and PREFIX.output.linear, both zeros at the start: F is then 0.
  PatchHead(ParameterLayout& layout, const PatchGrid& grid, std::int64_t width, const std::string& prefix);

  /// f[n,channels,height,width] from x[n,T,C] and conditioning SiLU(c) [n,C]; modulation [n,2C] is kept.
  /// Uses scratch.narrow and, in the memory of scratch.flow, scratch.output; leaves scratch.wide alone.
  void forward(kernels::Ops& ops, const kernels::Tensor& f, const kernels::Tensor& modulation, const kernels::Tensor& x,
               const kernels::Tensor& conditioning, const LayerScratch& scratch) const;
  /// scratch.flow = gradient of x from df; adds into dconditioning [n,C] and writes the parameters' gradients.
  /// Uses all of scratch but scratch.wide.
  void backward(kernels::Ops& ops, const kernels::Tensor& dconditioning, const kernels::Tensor& df,
                const kernels::Tensor& modulation, const kernels::Tensor& x, const kernels::Tensor& conditioning,
                const LayerScratch& scratch, kernels::GradientWrite write) const;

  double flops_per_token() const { return linear_.flops_per_row(); }
  double flops_per_sample() const { return norm_.flops_per_sample(); }

 private:
  PatchGrid grid_;
  std::int64_t width_;
  OutputNorm norm_;
  Linear linear_;
};

}  // namespace blocktrain::blocks
