#pragma once
/// Attention by kernels of our own: any type, heads and mask. See Ops::attention_forward and attention_backward.

#include <cuda_runtime_api.h>

#include "kernels/attention.hpp"
#include "kernels/cuda/workspace.hpp"
#include "kernels/op_types.hpp"

namespace blocktrain::kernels::cuda {

void plain_attention_forward(cudaStream_t stream, const Tensor& out, const Tensor& log_sum_exp, const Tensor& q,
                             const Tensor& k, const Tensor& v, const AttentionForm& form);
void plain_attention_backward(cudaStream_t stream, const Workspace& workspace, const Tensor& dq, const Tensor& dk,
                              const Tensor& dv, const Tensor& dout, const Tensor& out, const Tensor& log_sum_exp,
                              const Tensor& q, const Tensor& k, const Tensor& v, const AttentionForm& form,
                              GradientWrite write_dq, GradientWrite write_dkv);

}  // namespace blocktrain::kernels::cuda
