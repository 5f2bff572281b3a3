#pragma once
/// Attention where queries see ranges of keys, keys are shared by groups of heads, queries are others than the keys'
/// tokens, a gradient is that of a part or adds, or a head does not fit a thread's scratch whole: all but what
/// attention_forward.cpp does for a sample among itself, which is a little faster. The keys are cut into tiles, and the
/// softmax of a block of queries goes over them one by one, with the largest score so far. Tiles are fixed by the
/// shape, so bits do not depend on threads; only those that some query of a block sees are visited.

#include "kernels/cpu/attention.hpp"
#include "kernels/op_types.hpp"

namespace blocktrain::kernels::attention {

/// See Ops::attention_forward.
void forward_masked(int threads, const Workspace& workspace, const AttentionSizes& sizes, const AttentionMask& mask,
                    const Tensor& out, const Tensor& log_sum_exp, const Tensor& q, const Tensor& k, const Tensor& v);

struct MaskedGradient {
  Tensor dq, dk, dv;
  GradientWrite write_dq, write_dkv;
};
/// See Ops::attention_backward.
void backward_masked(int threads, const Workspace& workspace, const AttentionSizes& sizes, const AttentionMask& mask,
                     const MaskedGradient& gradient, const Tensor& dout, const Tensor& out, const Tensor& log_sum_exp,
                     const Tensor& q, const Tensor& k, const Tensor& v);

}  // namespace blocktrain::kernels::attention
