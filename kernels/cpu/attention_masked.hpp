#pragma once
/// Attention where queries see ranges of keys, keys are shared by groups of heads, queries are others than the keys'
/// tokens, or a gradient is that of a part or adds: all but what attention_forward.cpp does for a sample among itself.
/// Only tiles that some query of a block sees are visited.

#include "kernels/cpu/attention.hpp"
#include "kernels/op_types.hpp"

namespace blocktrain::kernels::attention {

/// Whether every token of a sample attends to every one, in as many heads of keys.
inline bool among_themselves(const AttentionSizes& s, const AttentionForm& form) {
  return form.mask.is_full() && s.queries == s.keys && s.heads == s.kv_heads;
}

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
