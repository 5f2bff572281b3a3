#pragma once
/// Short-lived tensors that all layers of a block share. Long work runs over a few samples at a time (a chunk), so
/// scratch does not grow with the batch.

#include <algorithm>
#include <cstdint>

#include "blocks/dit.hpp"
#include "kernels/arena.hpp"

namespace blocktrain::blocks {

struct DitScratch {
  kernels::Tensor flow;        ///< [n,T,C] the residual stream forward, its gradient backward
  kernels::Tensor patches;     ///< [elements] of the output, in the memory of flow
  kernels::Tensor narrow;      ///< [n,T,C]
  kernels::Tensor wide;        ///< [elements] the MLP's hidden rows, gradients of q, k and v, or the input's patches
  kernels::Tensor mean, rstd;  ///< [n,T] of the normalisation at hand
  kernels::Tensor modulation;  ///< [n,6C] gradient of a layer's modulation

  static DitScratch allocate(kernels::Arena& arena, kernels::DType dtype, const DitConfig& config,
                             std::int64_t samples) {
    const std::int64_t tokens = config.tokens(), width = config.width;
    const std::int64_t widest = std::max({config.mlp_ratio * width, 3 * width, config.patch_elements()});
    DitScratch s;
    s.patches = arena.allocate(dtype, {samples * tokens * std::max(width, config.patch_elements())});
    s.flow = s.patches.rows(0, samples * tokens * width).reshaped({samples, tokens, width});
    s.narrow = arena.allocate(dtype, {samples, tokens, width});
    s.wide = arena.allocate(dtype, {samples * tokens * widest});
    s.mean = arena.allocate(kernels::precise(dtype), {samples, tokens});
    s.rstd = arena.allocate(kernels::precise(dtype), {samples, tokens});
    s.modulation = arena.allocate(dtype, {samples, 6 * width});
    return s;
  }

  /// The same for the first `samples` samples.
  DitScratch first(std::int64_t samples) const {
    return {flow.rows(0, samples),      patches,
            narrow.rows(0, samples),    wide,
            mean.rows(0, samples),      rstd.rows(0, samples),
            modulation.rows(0, samples)};
  }

  /// The first elements of `wide`, or of `patches`, as [samples, rows, columns].
  kernels::Tensor wide_as(std::int64_t samples, std::int64_t rows, std::int64_t columns) const {
    return wide.rows(0, samples * rows * columns).reshaped({samples, rows, columns});
  }
  kernels::Tensor patches_as(std::int64_t samples, std::int64_t rows, std::int64_t columns) const {
    return patches.rows(0, samples * rows * columns).reshaped({samples, rows, columns});
  }
};

/// Samples that run together, about config.rows_at_once tokens. A function of the shape alone, so that results are.
inline std::int64_t samples_per_chunk(const DitConfig& config, std::int64_t samples) {
  return std::min(samples, (config.rows_at_once + config.tokens() - 1) / config.tokens());
}

}  // namespace blocktrain::blocks
