#pragma once
/// Attention of a head that does not fit a thread's scratch whole: the keys are cut into tiles, and the softmax of a
/// block of queries goes over them one by one, with the largest score so far. Tiles are fixed by the shape, so bits do
/// not depend on threads. What does fit goes the other way (attention_forward.cpp), which is a little faster.

#include <cstdint>

#include "kernels/cpu/attention.hpp"

namespace blocktrain::kernels::attention {

/// Whether the other way serves the shape.
constexpr bool fits_whole(const Shape& shape) {
  return scratch_floats(shape) <= static_cast<std::int64_t>(Workspace::thread_floats);
}

/// The widest head, in numbers, of which a tile fits the scratch: any number of tokens is served up to it.
inline constexpr std::int64_t widest_head = 29'088;

/// One head of one sample, as forward_head and backward_head of the other way: rows of qkv and dqkv lie 3 * shape.width
/// apart, those of out and dout shape.width. Precondition: shape.head_width <= widest_head.
void forward_long_head(const Shape& shape, Scratch scratch, const float* qkv, float* out, float* log_sum_exp);
void backward_long_head(const Shape& shape, Scratch scratch, const float* qkv, const float* dout, const float* out,
                        const float* log_sum_exp, float* dqkv);

}  // namespace blocktrain::kernels::attention
