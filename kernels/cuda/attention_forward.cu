#include <cmath>

#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/cuda_backend.hpp"

namespace blocktrain::kernels {
using namespace cuda;
namespace {

/// A warp has a query and walks the keys with the running softmax (Milakov & Gimelshein 2018).
template <class T, int R>
__global__ void __launch_bounds__(threads_per_block)
    forward_kernel(AttentionShape s, T* out, float* log_sum_exp, const T* qkv) {
  const std::int64_t item = static_cast<std::int64_t>(blockIdx.x) * warps_per_block + threadIdx.x / warp_size;
  if (item >= s.items()) return;
  const AttentionItem i(s, item);
  float query[R], sum[R] = {};
  load_head(query, qkv + part_of(s, i, 0, i.token), s.head_width);
  float largest = -INFINITY, total = 0;
  for (std::int64_t t = 0; t < s.tokens; ++t) {
    const float score = s.scale * head_dot(query, qkv + part_of(s, i, 1, t), s.head_width);
    const float next = fmaxf(largest, score);
    const float shrink = expf(largest - next), p = expf(score - next);
    total = total * shrink + p;
#pragma unroll
    for (int r = 0; r < R; ++r) sum[r] *= shrink;
    add_head(sum, p, qkv + part_of(s, i, 2, t), s.head_width);
    largest = next;
  }
  store_head(out + row_of(s, i, i.token), sum, s.head_width, 1 / total);
  if (threadIdx.x % warp_size == 0) log_sum_exp[item] = largest + logf(total);
}

}  // namespace

void CudaBackend::attention_forward(const Tensor& out, const Tensor& log_sum_exp, const Tensor& qkv, int heads) {
  const AttentionShape shape(qkv, heads);
  if (shape.items() == 0) return;
  if (fused_attention_->forward(stream_, out, log_sum_exp, qkv, heads)) return;
  with_stored_type(qkv.dtype, [&](auto type) {
    using T = decltype(type);
    with_head_registers(shape.head_width, [&](auto registers) {
      launch({stream_, static_cast<unsigned>(divide_up(shape.items(), warps_per_block))},
             forward_kernel<T, decltype(registers)::value>, shape, pointer<T>(out), pointer<float>(log_sum_exp),
             pointer<T>(qkv));
    });
  });
}

}  // namespace blocktrain::kernels
