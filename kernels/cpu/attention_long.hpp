#pragma once
/// Attention of a head that does not fit a thread's scratch whole: the keys are cut into tiles, and the softmax of a
/// block of queries goes over them one by one, with the largest score so far. Tiles are fixed by the shape, so bits do
/// not depend on threads. What does fit goes the other way (attention_forward.cpp), which is a little faster.

#include <cstdint>

#include "kernels/cpu/attention_tiles.hpp"

namespace blocktrain::kernels::attention {

/// Whether the other way serves the shape.
constexpr bool fits_whole(const Shape& shape) {
  return scratch_floats(shape) <= static_cast<std::int64_t>(Workspace::thread_floats);
}

/// One head of one sample, as forward_head and backward_head of the other way. Precondition: shape.head_width <=
/// widest_head.
void forward_long_head(const Shape& shape, Scratch scratch, const HeadInputs& in, const HeadRows<float>& out,
                       float* log_sum_exp);
void backward_long_head(const Shape& shape, Scratch scratch, const HeadInputs& in, const HeadRows<const float>& dout,
                        const HeadRows<const float>& out, const float* log_sum_exp, const HeadGradients& gradients);

}  // namespace blocktrain::kernels::attention
