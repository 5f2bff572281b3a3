#include "blocks/layers/patch_embedding.hpp"

#include <cmath>

namespace blocktrain::blocks {

using kernels::Ops;
using kernels::Tensor;

PatchEmbedding::PatchEmbedding(ParameterLayout& layout, const PatchGrid& grid, std::int64_t width, double sigma_data,
                               const std::string& prefix)
    : grid_(grid),
      width_(width),
      sigma_data_(sigma_data),
      linear_(layout, prefix + ".patch_embedding", width, grid.elements, Linear::Start::xavier) {}

Tensor PatchEmbedding::bind_positions(kernels::Arena& arena, kernels::DType dtype) const {
  const Tensor out = arena.allocate(dtype, {grid_.tokens(), width_});
  if (!arena.measures_only()) arena.write(out, grid_positions(grid_.rows, grid_.columns, width_));
  return out;
}

Tensor PatchEmbedding::cut(Ops& ops, const Tensor& z, const Tensor& sigma, const LayerScratch& scratch) const {
  const Tensor patches = scratch.wide_as(z.dim(0), grid_.tokens(), grid_.elements);
  ops.patchify(patches, z, grid_.side, sigma, sigma_data_);
  return patches;
}

void PatchEmbedding::forward(Ops& ops, const Tensor& x, const Tensor& z, const Tensor& sigma, const Tensor& positions,
                             const LayerScratch& scratch) const {
  linear_.forward(ops, x, cut(ops, z, sigma, scratch));
  ops.add_rows(x, positions);
}

void PatchEmbedding::backward(Ops& ops, const Tensor& dx, const Tensor& z, const Tensor& sigma,
                              const LayerScratch& scratch, kernels::GradientWrite write) const {
  linear_.backward_parameters(ops, dx, cut(ops, z, sigma, scratch), write);
}

std::vector<double> grid_positions(std::int64_t rows, std::int64_t columns, std::int64_t width) {
  BLOCKTRAIN_EXPECTS(rows >= 1 && columns >= 1 && width >= 4 && width % 4 == 0);
  const std::int64_t quarter = width / 4;
  std::vector<double> out(static_cast<std::size_t>(rows * columns * width));
  auto next = out.begin();
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t column = 0; column < columns; ++column) {
      for (const std::int64_t place : {row, column}) {
        for (std::int64_t i = 0; i < 2 * quarter; ++i) {
          const double frequency = std::pow(10000.0, -static_cast<double>(i % quarter) / static_cast<double>(quarter));
          const double angle = static_cast<double>(place) * frequency;
          *next++ = i < quarter ? std::sin(angle) : std::cos(angle);
        }
      }
    }
  }
  return out;
}

}  // namespace blocktrain::blocks
