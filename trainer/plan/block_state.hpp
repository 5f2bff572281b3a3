#pragma once
/// What a block is made of while it trains: weights, optimizer moments, the optional average, and its step.

#include <cstdint>

#include "blocks/block.hpp"
#include "kernels/arena.hpp"
#include "kernels/step_state.hpp"
#include "kernels/tensor.hpp"

namespace blocktrain::trainer {

/// Floats behind the gradient in its buffer that are summed with it among replicas: one says "stop".
inline constexpr std::int64_t gradient_tail = 16;

/// Flat tensors of Block::parameter_elements() elements, bound in the arena of the block's state.
struct BlockState {
  kernels::Tensor parameters;
  kernels::Tensor first_moment, second_moment;
  kernels::Tensor average;                   ///< empty without optimizer.average_decay
  kernels::Tensor working;                   ///< the weights in the type that is computed in; empty for float32
  kernels::StepState* step_state = nullptr;  ///< in the same arena
  std::int64_t step = 0;                     ///< updates made so far

  /// Takes the memory of a block of `elements` parameters from `arena` (a measuring one prices it), with a working copy
  /// where `computed_in` is not float32.
  static BlockState bind(kernels::Arena& arena, std::int64_t elements, bool with_average, kernels::DType computed_in);
  /// What the network computes with.
  const kernels::Tensor& weights() const { return working.empty() ? parameters : working; }
};

}  // namespace blocktrain::trainer
