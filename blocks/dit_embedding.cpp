#include "blocks/dit_embedding.hpp"

#include <cmath>

namespace blocktrain::blocks {

using kernels::Ops;
using kernels::Tensor;

PatchEmbedding::PatchEmbedding(ParameterLayout& layout, const DitConfig& config, const std::string& prefix)
    : tokens_(config.tokens()),
      patch_elements_(config.patch_elements()),
      patch_(config.patch),
      sigma_data_(config.sigma_data),
      linear_(layout, prefix + ".patch_embedding", config.width, patch_elements_, Linear::Start::xavier) {}

void PatchEmbedding::bind_parameters(const Tensor& flat, const std::vector<Parameter>& list) {
  linear_.bind_parameters(flat, list);
}

void PatchEmbedding::bind_gradient(const Tensor& flat, const std::vector<Parameter>& list) {
  linear_.bind_gradient(flat, list);
}

Tensor PatchEmbedding::bind_positions(kernels::Arena& arena, kernels::DType dtype, const DitConfig& config) {
  const Tensor out = arena.allocate(dtype, {config.tokens(), config.width});
  if (arena.measures_only()) return out;
  arena.write(out, grid_positions(config.height / config.patch, config.width_px / config.patch, config.width));
  return out;
}

Tensor PatchEmbedding::cut(Ops& ops, const Tensor& z, const Tensor& sigma, const DitScratch& scratch) const {
  const Tensor patches = scratch.wide_as(z.dim(0), tokens_, patch_elements_);
  ops.patchify(patches, z, patch_, sigma, sigma_data_);
  return patches;
}

void PatchEmbedding::forward(Ops& ops, const Tensor& x, const Tensor& z, const Tensor& sigma, const Tensor& positions,
                             const DitScratch& scratch) const {
  linear_.forward(ops, x, cut(ops, z, sigma, scratch));
  ops.add_rows(x, positions);
}

void PatchEmbedding::backward(Ops& ops, const Tensor& dx, const Tensor& z, const Tensor& sigma,
                              const DitScratch& scratch, kernels::GradientWrite write) const {
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
