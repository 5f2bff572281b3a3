#pragma once
/// Short-lived tensors that all layers of a block share. Long work runs over a few samples at a time (a chunk), so
/// scratch does not grow with the batch.

#include <algorithm>
#include <cstdint>

#include "kernels/arena.hpp"
#include "kernels/tensor.hpp"

namespace blocktrain::blocks {

/// The sizes of a transformer layer.
struct LayerShape {
  std::int64_t tokens = 1;  ///< T, of a sample
  std::int64_t width = 4;   ///< C, of a token
  int heads = 1;
  std::int64_t hidden = 16;  ///< of the MLP
  /// Also keeps what costs little to compute again: modulated norms, the stream between attention and MLP, and the
  /// GELU, 7 C more numbers per token.
  bool keeps_cheap = false;
  bool conditioned = true;  ///< norms are modulated by a conditioning; without, by learnt constants
};

struct LayerScratch {
  kernels::Tensor flow;        ///< [n,T,C] the residual stream forward, its gradient backward
  kernels::Tensor output;      ///< [elements] of what the head puts out, in the memory of flow
  kernels::Tensor narrow;      ///< [n,T,C]
  kernels::Tensor wide;        ///< [elements] the MLP's hidden rows, gradients of q, k and v, or the embedding's input
  kernels::Tensor mean, rstd;  ///< [n,T] of the normalisation at hand
  kernels::Tensor modulation;  ///< [n,6C] gradient of a layer's modulation

  /// Of n samples, where the embedding takes, and the head gives, `columns` numbers per token.
  static LayerScratch allocate(kernels::Arena& arena, kernels::DType dtype, const LayerShape& shape,
                               std::int64_t columns, std::int64_t samples) {
    const std::int64_t tokens = shape.tokens, width = shape.width;
    const std::int64_t widest = std::max({shape.hidden, 3 * width, columns});
    LayerScratch s;
    s.output = arena.allocate(dtype, {samples * tokens * std::max(width, columns)});
    s.flow = s.output.rows(0, samples * tokens * width).reshaped({samples, tokens, width});
    s.narrow = arena.allocate(dtype, {samples, tokens, width});
    s.wide = arena.allocate(dtype, {samples * tokens * widest});
    s.mean = arena.allocate(kernels::precise(dtype), {samples, tokens});
    s.rstd = arena.allocate(kernels::precise(dtype), {samples, tokens});
    s.modulation = arena.allocate(dtype, {samples, 6 * width});
    return s;
  }

  /// The same for the first `samples` samples.
  LayerScratch first(std::int64_t samples) const {
    return {
        flow.rows(0, samples),      output, narrow.rows(0, samples), wide, mean.rows(0, samples), rstd.rows(0, samples),
        modulation.rows(0, samples)};
  }

  /// The first elements of `wide`, or of `output`, as [samples, rows, columns].
  kernels::Tensor wide_as(std::int64_t samples, std::int64_t rows, std::int64_t columns) const {
    return wide.rows(0, samples * rows * columns).reshaped({samples, rows, columns});
  }
  kernels::Tensor output_as(std::int64_t samples, std::int64_t rows, std::int64_t columns) const {
    return output.rows(0, samples * rows * columns).reshaped({samples, rows, columns});
  }
};

}  // namespace blocktrain::blocks
