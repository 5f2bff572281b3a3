#pragma once
/// Attention that a library computes in one kernel, where there is such a library: cuDNN, through its C++ frontend.

#include <cuda_runtime_api.h>

#include <memory>
#include <string>

#include "kernels/tensor.hpp"

namespace blocktrain::kernels::cuda {

class FusedAttention {
 public:
  virtual ~FusedAttention() = default;
  /// As Ops::attention_forward and attention_backward; false when the library does not serve this type or shape, and
  /// nothing has been done.
  virtual bool forward(cudaStream_t stream, const Tensor& out, const Tensor& log_sum_exp, const Tensor& qkv,
                       int heads) = 0;
  virtual bool backward(cudaStream_t stream, const Tensor& dqkv, const Tensor& dout, const Tensor& out,
                        const Tensor& log_sum_exp, const Tensor& qkv, int heads) = 0;
};

/// With `deterministic`, gradients have the same bits in every run, at some cost in speed.
std::unique_ptr<FusedAttention> make_fused_attention(bool deterministic);
/// What attention is computed with, for `doctor`: the library and its version, or what is missing.
std::string fused_attention_facts();

}  // namespace blocktrain::kernels::cuda
