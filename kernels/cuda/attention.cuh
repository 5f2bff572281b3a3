#pragma once
/// Shapes that the passes of our own attention share. Plain kernels, a warp to a query or a key: for float32, which
/// cuDNN's fused attention does not compute, and for what it is not asked for.

#include <cmath>

#include "kernels/attention.hpp"
#include "kernels/cuda/launch.cuh"

namespace blocktrain::kernels::cuda {

/// Widest head; its numbers lie in the registers of a warp, as many of each lane as kernels have for parameter R.
constexpr int widest_head = 256;

/// Calls f with the smallest compiled R that holds a head.
template <class F>
void with_head_registers(std::int64_t head_width, F&& f) {
  BLOCKTRAIN_EXPECTS(head_width <= widest_head);
  if (head_width <= warp_size) {
    f(std::integral_constant<int, 1>{});
  } else if (head_width <= 2 * warp_size) {
    f(std::integral_constant<int, 2>{});
  } else if (head_width <= 4 * warp_size) {
    f(std::integral_constant<int, 4>{});
  } else {
    f(std::integral_constant<int, widest_head / warp_size>{});
  }
}

/// What the kernels are told of a call.
struct AttentionShape : AttentionSizes {
  AttentionShape(const AttentionSizes& sizes, const AttentionForm& form)
      : AttentionSizes(sizes),
        group(heads / kv_heads),
        scale(static_cast<float>(1 / std::sqrt(static_cast<double>(head_width)))),
        mask(form.mask) {}
  std::int64_t group;  ///< query heads to a head of keys
  float scale;
  AttentionMask mask;
  /// Warps' worth of work: one for each query of each head, or each key of each of its heads.
  __host__ __device__ std::int64_t query_items() const { return samples * heads * queries; }
  __host__ __device__ std::int64_t key_items() const { return samples * kv_heads * keys; }
};

/// The rows of a tensor [N,T,C] or [N*T,C] as kernels see them.
template <class T>
struct TokenRows {
  T* data;
  TokenStrides strides;
  __device__ T* of(std::int64_t sample, std::int64_t token, std::int64_t head, std::int64_t head_width) const {
    return data + sample * strides.sample + token * strides.token + head * head_width;
  }
};
template <class T>
TokenRows<T> token_rows(const Tensor& t, std::int64_t samples) {
  return {pointer<std::remove_const_t<T>>(t), token_strides(t, samples)};
}

/// One token of one head: item = (n * heads + head) * tokens + token.
struct AttentionItem {
  __device__ AttentionItem(std::int64_t item, std::int64_t heads, std::int64_t tokens)
      : sample(item / (heads * tokens)), head(item / tokens % heads), token(item % tokens) {}
  std::int64_t sample, head, token;
};

/// A head's numbers of one token, lane l holding l, l + 32, ...
template <class T, int R>
__device__ void load_head(float (&out)[R], const T* from, std::int64_t head_width) {
#pragma unroll
  for (int r = 0; r < R; ++r) {
    const std::int64_t d = r * warp_size + threadIdx.x % warp_size;
    out[r] = d < head_width ? to_float(from[d]) : 0.0f;
  }
}
/// to = factor * from, or += with `add`.
template <class T, int R>
__device__ void store_head(T* to, const float (&from)[R], std::int64_t head_width, float factor, bool add = false) {
#pragma unroll
  for (int r = 0; r < R; ++r) {
    const std::int64_t d = r * warp_size + threadIdx.x % warp_size;
    if (d < head_width) to[d] = from_float<T>(add ? to_float(to[d]) + from[r] * factor : from[r] * factor);
  }
}
/// Scalar product of a head held by the warp with one in memory; every lane has it.
template <class T, int R>
__device__ float head_dot(const float (&a)[R], const T* b, std::int64_t head_width) {
  float sum = 0;
#pragma unroll
  for (int r = 0; r < R; ++r) {
    const std::int64_t d = r * warp_size + threadIdx.x % warp_size;
    if (d < head_width) sum += a[r] * to_float(b[d]);
  }
  return warp_sum(sum);
}
/// a += factor * b.
template <class T, int R>
__device__ void add_head(float (&a)[R], float factor, const T* b, std::int64_t head_width) {
#pragma unroll
  for (int r = 0; r < R; ++r) {
    const std::int64_t d = r * warp_size + threadIdx.x % warp_size;
    if (d < head_width) a[r] += factor * to_float(b[d]);
  }
}

}  // namespace blocktrain::kernels::cuda
