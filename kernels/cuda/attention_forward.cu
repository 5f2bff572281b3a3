#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/plain_attention.hpp"

namespace blocktrain::kernels {
using namespace cuda;
namespace {

/// A warp has a query and walks the keys that it sees with the running softmax (Milakov & Gimelshein 2018).
template <class T, int R>
__global__ void __launch_bounds__(threads_per_block)
    forward_kernel(AttentionShape s, TokenRows<T> out, float* log_sum_exp, TokenRows<const T> q, TokenRows<const T> k,
                   TokenRows<const T> v) {
  const std::int64_t item = static_cast<std::int64_t>(blockIdx.x) * warps_per_block + threadIdx.x / warp_size;
  if (item >= s.query_items()) return;
  const AttentionItem i(item, s.heads, s.queries);
  const std::int64_t width = s.head_width, kv_head = i.head / s.group;
  float query[R], sum[R] = {};
  load_head(query, q.of(i.sample, i.token, i.head, width), width);
  const TokenRange seen = s.mask.keys_of(i.token, s.keys);
  float largest = -INFINITY, total = 0;
  for (std::int64_t t = seen.begin; t < seen.end; ++t) {
    const float score = s.scale * head_dot(query, k.of(i.sample, t, kv_head, width), width);
    const float next = fmaxf(largest, score);
    const float shrink = expf(largest - next), p = expf(score - next);
    total = total * shrink + p;
#pragma unroll
    for (int r = 0; r < R; ++r) sum[r] *= shrink;
    add_head(sum, p, v.of(i.sample, t, kv_head, width), width);
    largest = next;
  }
  const bool none = seen.begin == seen.end;
  store_head(out.of(i.sample, i.token, i.head, width), sum, width, none ? 0.0f : 1 / total);
  if (threadIdx.x % warp_size == 0) log_sum_exp[item] = none ? -INFINITY : largest + logf(total);
}

/// A thread has a number of out.
template <class T>
void merge(cudaStream_t stream, const Tensor& out, const Tensor& log_sum_exp, const Tensor& out_a, const Tensor& sums_a,
           const Tensor& out_b, const Tensor& sums_b) {
  const std::int64_t samples = log_sum_exp.dim(0), heads = log_sum_exp.dim(1), tokens = log_sum_exp.dim(2);
  const std::int64_t width = token_width(out) / heads;
  const auto to = token_rows<T>(out, samples);
  const auto a = token_rows<const T>(out_a, samples), b = token_rows<const T>(out_b, samples);
  const float *const a_sums = pointer<float>(sums_a), *const b_sums = pointer<float>(sums_b);
  each(stream, samples * heads * tokens * width, [=] __device__(std::int64_t e) {
    const AttentionItem i(e / width, heads, tokens);
    const std::int64_t at = e / width, d = e % width;
    const float largest = fmaxf(a_sums[at], b_sums[at]);
    const float of_a = largest == -INFINITY ? 0.0f : expf(a_sums[at] - largest);
    const float of_b = largest == -INFINITY ? 0.0f : expf(b_sums[at] - largest);
    const float inverse = largest == -INFINITY ? 0.0f : 1 / (of_a + of_b);
    to.of(i.sample, i.token, i.head, width)[d] =
        from_float<T>((of_a * to_float(a.of(i.sample, i.token, i.head, width)[d]) +
                       of_b * to_float(b.of(i.sample, i.token, i.head, width)[d])) *
                      inverse);
  });
}

}  // namespace

void cuda::plain_attention_forward(cudaStream_t stream, const Tensor& out, const Tensor& log_sum_exp, const Tensor& q,
                                   const Tensor& k, const Tensor& v, const AttentionForm& form) {
  const AttentionShape shape({log_sum_exp, q, k, form}, form);
  with_stored_type(q.dtype, [&](auto type) {
    using T = decltype(type);
    with_head_registers(shape.head_width, [&](auto registers) {
      launch({stream, static_cast<unsigned>(divide_up(shape.query_items(), warps_per_block))},
             forward_kernel<T, decltype(registers)::value>, shape, token_rows<T>(out, shape.samples),
             pointer<float>(log_sum_exp), token_rows<const T>(q, shape.samples), token_rows<const T>(k, shape.samples),
             token_rows<const T>(v, shape.samples));
    });
  });
}

void CudaBackend::attention_forward(const Tensor& out, const Tensor& log_sum_exp, const Tensor& q, const Tensor& k,
                                    const Tensor& v, const AttentionForm& form) {
  if (fused_attention_->forward(stream_, out, log_sum_exp, q, k, v, form)) return;
  plain_attention_forward(stream_, out, log_sum_exp, q, k, v, form);
}

void CudaBackend::attention_merge(const Tensor& out, const Tensor& log_sum_exp, const Tensor& out_a,
                                  const Tensor& sums_a, const Tensor& out_b, const Tensor& sums_b) {
  with_stored_type(out.dtype,
                   [&](auto type) { merge<decltype(type)>(stream_, out, log_sum_exp, out_a, sums_a, out_b, sums_b); });
  // Behind the numbers that read them: log_sum_exp may be one of the parts'.
  float* const to = pointer<float>(log_sum_exp);
  const float *const a = pointer<float>(sums_a), *const b = pointer<float>(sums_b);
  each(stream_, log_sum_exp.size(), [=] __device__(std::int64_t i) {
    const float largest = fmaxf(a[i], b[i]);
    to[i] = largest == -INFINITY ? largest : largest + logf(expf(a[i] - largest) + expf(b[i] - largest));
  });
}

}  // namespace blocktrain::kernels
