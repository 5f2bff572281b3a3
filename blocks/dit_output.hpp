#pragma once
/// From tokens to the network's output F, an image: norm, modulation by SiLU(c), a matrix, patches put together.
/// Private to a block. What becomes of F (D, a loss) is the objective's business (denoising_objective.hpp).

#include <string>
#include <vector>

#include "blocks/dit_scratch.hpp"
#include "blocks/linear.hpp"

namespace blocktrain::blocks {

class DitOutput {
 public:
  /// Registers PREFIX.output.modulation and PREFIX.output.linear, both zeros at the start: F is then 0.
  DitOutput(ParameterLayout& layout, const DitConfig& config, const std::string& prefix);

  void bind_parameters(const kernels::Tensor& flat, const std::vector<Parameter>& list);
  void bind_gradient(const kernels::Tensor& flat, const std::vector<Parameter>& list);

  /// f[n,channels,height,width] from x[n,T,C] and conditioning SiLU(c) [n,C]; modulation [n,2C] is kept.
  /// Uses scratch.narrow and, in the memory of scratch.flow, scratch.patches; leaves scratch.wide alone.
  void forward(kernels::Ops& ops, const kernels::Tensor& f, const kernels::Tensor& modulation, const kernels::Tensor& x,
               const kernels::Tensor& conditioning, const DitScratch& scratch) const;
  /// scratch.flow = gradient of x from df; adds into dconditioning [n,C] and writes the parameters' gradients.
  /// Uses all of scratch but scratch.wide.
  void backward(kernels::Ops& ops, const kernels::Tensor& dconditioning, const kernels::Tensor& df,
                const kernels::Tensor& modulation, const kernels::Tensor& x, const kernels::Tensor& conditioning,
                const DitScratch& scratch, kernels::GradientWrite write) const;

  double flops_per_token() const { return linear_.flops_per_row(); }
  double flops_per_sample() const { return modulation_.flops_per_row(); }

 private:
  std::int64_t width_, tokens_, patch_elements_;
  int patch_;
  Linear modulation_, linear_;
};

}  // namespace blocktrain::blocks
