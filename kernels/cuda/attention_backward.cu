#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/plain_attention.hpp"

namespace blocktrain::kernels {
using namespace cuda;
namespace {

/// What the backward kernels read.
template <class T>
struct Inputs {
  TokenRows<const T> dout, out, q, k, v;
  const float* log_sum_exp;
};

/// With p = softmax of the scores, computed again from log_sum_exp, and delta = dout . out:
///   ds = p * (dout . v - delta) * scale,  dq = sum over keys of ds k,  dk = sum over queries of ds q,
///   dv = sum over queries of p dout.
/// A warp has a query and leaves dq, and delta for the kernel below.
template <class T, int R>
__global__ void __launch_bounds__(threads_per_block)
    query_kernel(AttentionShape s, TokenRows<T> dq, bool add, float* delta, Inputs<T> in) {
  const std::int64_t item = static_cast<std::int64_t>(blockIdx.x) * warps_per_block + threadIdx.x / warp_size;
  if (item >= s.query_items()) return;
  const AttentionItem i(item, s.heads, s.queries);
  const std::int64_t width = s.head_width, kv_head = i.head / s.group;
  float query[R], gradient[R], sum[R] = {};
  load_head(query, in.q.of(i.sample, i.token, i.head, width), width);
  load_head(gradient, in.dout.of(i.sample, i.token, i.head, width), width);
  const float own_delta = head_dot(gradient, in.out.of(i.sample, i.token, i.head, width), width);
  const float own_log = in.log_sum_exp[item];
  if (threadIdx.x % warp_size == 0) delta[item] = own_delta;
  const TokenRange seen = s.mask.keys_of(i.token, s.keys);
  for (std::int64_t t = seen.begin; t < seen.end; ++t) {
    const T* const key = in.k.of(i.sample, t, kv_head, width);
    const float p = expf(s.scale * head_dot(query, key, width) - own_log);
    const float dp = head_dot(gradient, in.v.of(i.sample, t, kv_head, width), width);
    add_head(sum, p * (dp - own_delta) * s.scale, key, width);
  }
  store_head(dq.of(i.sample, i.token, i.head, width), sum, width, 1, add);
}

/// A warp has a key and walks the queries that see it in order, head by head of its group.
template <class T, int R>
__global__ void __launch_bounds__(threads_per_block)
    key_kernel(AttentionShape s, TokenRows<T> dk, TokenRows<T> dv, bool add, const float* delta, Inputs<T> in) {
  const std::int64_t item = static_cast<std::int64_t>(blockIdx.x) * warps_per_block + threadIdx.x / warp_size;
  if (item >= s.key_items()) return;
  const AttentionItem i(item, s.kv_heads, s.keys);
  const std::int64_t width = s.head_width;
  float key[R], value[R], dkey[R] = {}, dvalue[R] = {};
  load_head(key, in.k.of(i.sample, i.token, i.head, width), width);
  load_head(value, in.v.of(i.sample, i.token, i.head, width), width);
  const TokenRange seen = s.mask.queries_of(i.token, s.queries);
  for (std::int64_t head = i.head * s.group; head < (i.head + 1) * s.group; ++head) {
    const std::int64_t first = (i.sample * s.heads + head) * s.queries;
    for (std::int64_t t = seen.begin; t < seen.end; ++t) {
      const T* const query = in.q.of(i.sample, t, head, width);
      const T* const gradient = in.dout.of(i.sample, t, head, width);
      const float p = expf(s.scale * head_dot(key, query, width) - in.log_sum_exp[first + t]);
      const float dp = head_dot(value, gradient, width);
      add_head(dvalue, p, gradient, width);
      add_head(dkey, p * (dp - delta[first + t]) * s.scale, query, width);
    }
  }
  store_head(dk.of(i.sample, i.token, i.head, width), dkey, width, 1, add);
  store_head(dv.of(i.sample, i.token, i.head, width), dvalue, width, 1, add);
}

/// The rows from sample `first` on.
template <class T>
TokenRows<T> from_sample(TokenRows<T> rows, std::int64_t first) {
  rows.data += first * rows.strides.sample;
  return rows;
}

}  // namespace

void cuda::plain_attention_backward(cudaStream_t stream, const Workspace& workspace, const Tensor& dq, const Tensor& dk,
                                    const Tensor& dv, const Tensor& dout, const Tensor& out, const Tensor& log_sum_exp,
                                    const Tensor& q, const Tensor& k, const Tensor& v, const AttentionForm& form,
                                    GradientWrite write_dq, GradientWrite write_dkv) {
  const AttentionShape shape({log_sum_exp, q, k, form}, form);
  const std::int64_t samples = shape.samples, of_sample = shape.heads * shape.queries;
  // As many samples at once as have their delta in the workspace; a sample's results do not depend on the others.
  const std::int64_t most = static_cast<std::int64_t>(workspace.floats()) / of_sample;
  BLOCKTRAIN_EXPECTS(most >= 1);
  with_stored_type(q.dtype, [&](auto type) {
    using T = decltype(type);
    with_head_registers(shape.head_width, [&](auto registers) {
      constexpr int r = decltype(registers)::value;
      for (std::int64_t first = 0; first < samples; first += most) {
        AttentionShape part = shape;
        part.samples = std::min(most, samples - first);
        const auto reads = [&](const Tensor& t) { return from_sample(token_rows<const T>(t, samples), first); };
        const auto writes = [&](const Tensor& t) { return from_sample(token_rows<T>(t, samples), first); };
        const Inputs<T> in{reads(dout), reads(out), reads(q),
                           reads(k),    reads(v),   pointer<float>(log_sum_exp) + first * of_sample};
        launch({stream, static_cast<unsigned>(divide_up(part.query_items(), warps_per_block))}, query_kernel<T, r>,
               part, writes(dq), write_dq == GradientWrite::add, workspace.data(), in);
        launch({stream, static_cast<unsigned>(divide_up(part.key_items(), warps_per_block))}, key_kernel<T, r>, part,
               writes(dk), writes(dv), write_dkv == GradientWrite::add, workspace.data(), in);
      }
    });
  });
}

void CudaBackend::attention_backward(const Tensor& dq, const Tensor& dk, const Tensor& dv, const Tensor& dout,
                                     const Tensor& out, const Tensor& log_sum_exp, const Tensor& q, const Tensor& k,
                                     const Tensor& v, const AttentionForm& form, GradientWrite write_dq,
                                     GradientWrite write_dkv) {
  const FusedGradient gradient{dq, dk, dv, write_dq, write_dkv};
  if (fused_attention_->backward(stream_, workspace_, gradient, dout, out, log_sum_exp, q, k, v, form)) return;
  plain_attention_backward(stream_, workspace_, dq, dk, dv, dout, out, log_sum_exp, q, k, v, form, write_dq, write_dkv);
}

}  // namespace blocktrain::kernels
