#pragma once
/// Attention that a library computes in one kernel, where there is such a library: cuDNN, through its C++ frontend.
/// Elsewhere fused_attention_plain.cpp takes its place, so that what calls it runs in every build and on the emulated
/// GPU of the tests.

#include <cuda_runtime_api.h>

#include <memory>
#include <string>

#include "kernels/attention.hpp"
#include "kernels/cuda/workspace.hpp"
#include "kernels/op_types.hpp"
#include "kernels/tensor.hpp"

namespace blocktrain::kernels::cuda {

/// Where a gradient goes, and how.
struct FusedGradient {
  Tensor dq, dk, dv;
  GradientWrite write_dq, write_dkv;
};

class FusedAttention {
 public:
  virtual ~FusedAttention() = default;
  /// As Ops::attention_forward and attention_backward; false when this type or shape is not served, and nothing has
  /// been done.
  virtual bool forward(cudaStream_t stream, const Tensor& out, const Tensor& log_sum_exp, const Tensor& q,
                       const Tensor& k, const Tensor& v, const AttentionForm& form) = 0;
  virtual bool backward(cudaStream_t stream, const Workspace& workspace, const FusedGradient& gradient,
                        const Tensor& dout, const Tensor& out, const Tensor& log_sum_exp, const Tensor& q,
                        const Tensor& k, const Tensor& v, const AttentionForm& form) = 0;
};

/// What is asked of a library: bfloat16 that attends to itself, every query to every key, in as many heads of keys.
inline bool fused_attention_serves(const Tensor& log_sum_exp, const Tensor& q, const Tensor& k,
                                   const AttentionForm& form) {
  const AttentionSizes s(log_sum_exp, q, k, form);
  return q.dtype == DType::bfloat16 && form.mask.is_full() && s.queries == s.keys && s.heads == s.kv_heads;
}

/// With `deterministic`, gradients have the same bits in every run, at some cost in speed.
std::unique_ptr<FusedAttention> make_fused_attention(bool deterministic);
/// What attention is computed with, for `doctor`: the library and its version, or what is missing.
std::string fused_attention_facts();

}  // namespace blocktrain::kernels::cuda
