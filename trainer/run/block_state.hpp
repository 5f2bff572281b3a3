#pragma once
/// What a block is made of while it trains: weights, optimizer moments, the optional average, and its step.

#include <cstdint>

#include "blocks/denoiser.hpp"
#include "kernels/arena.hpp"
#include "kernels/step_state.hpp"
#include "kernels/tensor.hpp"

namespace blocktrain::trainer {

/// Flat tensors of Denoiser::parameter_elements() elements, bound in the arena of the block's state.
struct BlockState {
  kernels::Tensor parameters;
  kernels::Tensor first_moment, second_moment;
  kernels::Tensor average;                   ///< empty without optimizer.average_decay
  kernels::StepState* step_state = nullptr;  ///< in the same arena
  std::int64_t step = 0;                     ///< updates made so far

  /// Takes the memory of a block of `elements` parameters from `arena` (a measuring one prices it).
  static BlockState bind(kernels::Arena& arena, std::int64_t elements, bool with_average);
};

}  // namespace blocktrain::trainer
