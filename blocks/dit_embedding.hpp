#pragma once
/// From a noisy image to tokens: patches of c_in(sigma) z times a matrix, plus fixed positions (method: section 1,
/// preconditioning). The place where other inputs of a block will stand beside it: token embeddings, target tables,
/// relayed features.

#include <vector>

#include "blocks/dit_scratch.hpp"
#include "blocks/linear.hpp"

namespace blocktrain::blocks {

class PatchEmbedding {
 public:
  /// Registers PREFIX.patch_embedding.
  PatchEmbedding(ParameterLayout& layout, const DitConfig& config, const std::string& prefix);

  void bind_parameters(const kernels::Tensor& flat, const std::vector<Parameter>& list);
  void bind_gradient(const kernels::Tensor& flat, const std::vector<Parameter>& list);
  /// Takes and fills the positions [T,C]. Bound before anything of another size, so that blocks that take turns on one
  /// arena find the same positions in the same place.
  static kernels::Tensor bind_positions(kernels::Arena& arena, kernels::DType dtype, const DitConfig& config);

  /// x[n,T,C] from z[n,channels,height,width] and sigma[n]. Uses scratch.wide.
  void forward(kernels::Ops& ops, const kernels::Tensor& x, const kernels::Tensor& z, const kernels::Tensor& sigma,
               const kernels::Tensor& positions, const DitScratch& scratch) const;
  /// Writes the parameters' gradients, from dx[n,T,C]; the patches are cut again. Uses scratch.wide.
  void backward(kernels::Ops& ops, const kernels::Tensor& dx, const kernels::Tensor& z, const kernels::Tensor& sigma,
                const DitScratch& scratch, kernels::GradientWrite write) const;

  double flops_per_token() const { return linear_.flops_per_row(); }

 private:
  kernels::Tensor cut(kernels::Ops& ops, const kernels::Tensor& z, const kernels::Tensor& sigma,
                      const DitScratch& scratch) const;

  std::int64_t tokens_, patch_elements_;
  int patch_;
  double sigma_data_;
  Linear linear_;
};

/// Positions of a grid of rows x columns tokens, [rows*columns, width] row-major, width a multiple of 4. The first half
/// of the channels tells the row, the second the column; in each half a quarter sin(p w_i), then a quarter cos(p w_i),
/// w_i = 10000^(-i / (width/4)).
std::vector<double> grid_positions(std::int64_t rows, std::int64_t columns, std::int64_t width);

}  // namespace blocktrain::blocks
