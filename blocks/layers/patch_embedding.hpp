#pragma once
/// From a noisy image to tokens: patches of c_in(sigma) z times a matrix, plus fixed positions (method: section 1,
/// preconditioning).

#include <cstdint>
#include <string>
#include <vector>

#include "blocks/layers/layer_scratch.hpp"
#include "blocks/layers/linear.hpp"

namespace blocktrain::blocks {

/// How images are cut into patches, each of which is a token.
struct PatchGrid {
  std::int64_t rows = 1, columns = 1;  ///< of patches in an image
  std::int64_t elements = 1;           ///< numbers in a patch, of all its channels
  int side = 1;                        ///< of a patch, in pixels
  std::int64_t tokens() const { return rows * columns; }
};

class PatchEmbedding {
 public:
  /// Registers PREFIX.patch_embedding, for tokens of `width` numbers.
  PatchEmbedding(ParameterLayout& layout, const PatchGrid& grid, std::int64_t width, double sigma_data,
                 const std::string& prefix);

  /// Takes and fills the positions [T,C]. Bound before anything of another size, so that blocks that take turns on one
  /// arena find the same positions in the same place.
  kernels::Tensor bind_positions(kernels::Arena& arena, kernels::DType dtype) const;

  /// x[n,T,C] from z[n,channels,height,width] and sigma[n]. Uses scratch.wide.
  void forward(kernels::Ops& ops, const kernels::Tensor& x, const kernels::Tensor& z, const kernels::Tensor& sigma,
               const kernels::Tensor& positions, const LayerScratch& scratch) const;
  /// Writes the parameters' gradients, from dx[n,T,C]; the patches are cut again. Uses scratch.wide.
  void backward(kernels::Ops& ops, const kernels::Tensor& dx, const kernels::Tensor& z, const kernels::Tensor& sigma,
                const LayerScratch& scratch, kernels::GradientWrite write) const;

  double flops_per_token() const { return linear_.flops_per_row(); }

 private:
  kernels::Tensor cut(kernels::Ops& ops, const kernels::Tensor& z, const kernels::Tensor& sigma,
                      const LayerScratch& scratch) const;

  PatchGrid grid_;
  std::int64_t width_;
  double sigma_data_;
  Linear linear_;
};

/// Positions of a grid of rows x columns tokens, [rows*columns, width] row-major, width a multiple of 4. The first half
/// of the channels tells the row, the second the column; in each half a quarter sin(p w_i), then a quarter cos(p w_i),
/// w_i = 10000^(-i / (width/4)).
std::vector<double> grid_positions(std::int64_t rows, std::int64_t columns, std::int64_t width);

}  // namespace blocktrain::blocks
