#include <cmath>

#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/cuda_backend.hpp"

namespace blocktrain::kernels {
using namespace cuda;
namespace {

/// With p = softmax of the scores, computed again from log_sum_exp, and delta = dout . out:
///   ds = p * (dout . v - delta) * scale,  dq = sum over keys of ds k,  dk = sum over queries of ds q,
///   dv = sum over queries of p dout.
/// A warp has a query and leaves dq, and delta for the kernel below.
template <class T, int R>
__global__ void __launch_bounds__(threads_per_block)
    query_kernel(AttentionShape s, T* dqkv, float* delta, const T* dout, const T* out, const float* log_sum_exp,
                 const T* qkv) {
  const std::int64_t item = static_cast<std::int64_t>(blockIdx.x) * warps_per_block + threadIdx.x / warp_size;
  if (item >= s.items()) return;
  const AttentionItem i(s, item);
  float query[R], gradient[R], sum[R] = {};
  load_head(query, qkv + part_of(s, i, 0, i.token), s.head_width);
  load_head(gradient, dout + row_of(s, i, i.token), s.head_width);
  const float own_delta = head_dot(gradient, out + row_of(s, i, i.token), s.head_width);
  const float own_log = log_sum_exp[item];
  if (threadIdx.x % warp_size == 0) delta[item] = own_delta;
  for (std::int64_t t = 0; t < s.tokens; ++t) {
    const T* const key = qkv + part_of(s, i, 1, t);
    const float p = expf(s.scale * head_dot(query, key, s.head_width) - own_log);
    const float dp = head_dot(gradient, qkv + part_of(s, i, 2, t), s.head_width);
    add_head(sum, p * (dp - own_delta) * s.scale, key, s.head_width);
  }
  store_head(dqkv + part_of(s, i, 0, i.token), sum, s.head_width, 1);
}

/// A warp has a key and walks the queries in order.
template <class T, int R>
__global__ void __launch_bounds__(threads_per_block)
    key_kernel(AttentionShape s, T* dqkv, const float* delta, const T* dout, const float* log_sum_exp, const T* qkv) {
  const std::int64_t item = static_cast<std::int64_t>(blockIdx.x) * warps_per_block + threadIdx.x / warp_size;
  if (item >= s.items()) return;
  const AttentionItem i(s, item);
  float key[R], value[R], dkey[R] = {}, dvalue[R] = {};
  load_head(key, qkv + part_of(s, i, 1, i.token), s.head_width);
  load_head(value, qkv + part_of(s, i, 2, i.token), s.head_width);
  const std::int64_t first = item - i.token;
  for (std::int64_t t = 0; t < s.tokens; ++t) {
    const T* const query = qkv + part_of(s, i, 0, t);
    const T* const gradient = dout + row_of(s, i, t);
    const float p = expf(s.scale * head_dot(key, query, s.head_width) - log_sum_exp[first + t]);
    const float dp = head_dot(value, gradient, s.head_width);
    add_head(dvalue, p, gradient, s.head_width);
    add_head(dkey, p * (dp - delta[first + t]) * s.scale, query, s.head_width);
  }
  store_head(dqkv + part_of(s, i, 1, i.token), dkey, s.head_width, 1);
  store_head(dqkv + part_of(s, i, 2, i.token), dvalue, s.head_width, 1);
}

}  // namespace

void CudaBackend::attention_backward(const Tensor& dqkv, const Tensor& dout, const Tensor& out,
                                     const Tensor& log_sum_exp, const Tensor& qkv, int heads) {
  const AttentionShape shape(qkv, heads);
  if (shape.items() == 0) return;
  if (fused_attention_->backward(stream_, dqkv, dout, out, log_sum_exp, qkv, heads)) return;
  // As many samples at once as have their delta in the workspace; a sample's results do not depend on the others.
  const std::int64_t most = static_cast<std::int64_t>(workspace_.floats()) / (shape.heads * shape.tokens);
  BLOCKTRAIN_EXPECTS(most >= 1);
  with_stored_type(qkv.dtype, [&](auto type) {
    using T = decltype(type);
    with_head_registers(shape.head_width, [&](auto registers) {
      for (std::int64_t first = 0; first < shape.samples; first += most) {
        AttentionShape part = shape;
        part.samples = std::min(most, shape.samples - first);
        const unsigned blocks = static_cast<unsigned>(divide_up(part.items(), warps_per_block));
        const std::int64_t at = first * shape.tokens * shape.width;
        const T *const from = pointer<T>(qkv) + 3 * at, *const gradient = pointer<T>(dout) + at;
        const float* const logs = pointer<float>(log_sum_exp) + first * shape.heads * shape.tokens;
        launch({stream_, blocks}, query_kernel<T, decltype(registers)::value>, part, pointer<T>(dqkv) + 3 * at,
               workspace_.data(), gradient, pointer<T>(out) + at, logs, from);
        launch({stream_, blocks}, key_kernel<T, decltype(registers)::value>, part, pointer<T>(dqkv) + 3 * at,
               workspace_.data(), gradient, logs, from);
      }
    });
  });
}

}  // namespace blocktrain::kernels
