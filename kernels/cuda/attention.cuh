#pragma once
/// Shapes that the forward and backward passes of our own attention share. Plain kernels, a warp to a query or a key:
/// for float32, which cuDNN's fused attention does not compute, and for what it refuses.

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

struct AttentionShape {
  AttentionShape(const Tensor& qkv, int head_count)
      : samples(qkv.dim(0)), tokens(qkv.dim(1)), width(qkv.dim(2) / 3), heads(head_count) {
    head_width = width / heads;
    scale = static_cast<float>(1 / std::sqrt(static_cast<double>(head_width)));
  }
  std::int64_t samples, tokens, width, heads, head_width = 0;
  float scale = 1;
  /// Warps' worth of work: one for each token of each head.
  __host__ __device__ std::int64_t items() const { return samples * heads * tokens; }
};

/// One token of one head: item = (n * heads + head) * tokens + token.
struct AttentionItem {
  __device__ AttentionItem(const AttentionShape& s, std::int64_t item)
      : sample(item / (s.heads * s.tokens)), head(item / s.tokens % s.heads), token(item % s.tokens) {}
  std::int64_t sample, head, token;
};

/// Where q (part 0), k (1) or v (2) of token `t` of the item's head starts in qkv.
__device__ inline std::int64_t part_of(const AttentionShape& s, const AttentionItem& i, int part, std::int64_t t) {
  return (i.sample * s.tokens + t) * 3 * s.width + part * s.width + i.head * s.head_width;
}
/// The same in a tensor [N,T,C].
__device__ inline std::int64_t row_of(const AttentionShape& s, const AttentionItem& i, std::int64_t t) {
  return (i.sample * s.tokens + t) * s.width + i.head * s.head_width;
}

/// A head's numbers of one token, lane l holding l, l + 32, ...
template <class T, int R>
__device__ void load_head(float (&out)[R], const T* from, std::int64_t head_width) {
#pragma unroll
  for (int r = 0; r < R; ++r) {
    const std::int64_t d = r * warp_size + threadIdx.x % warp_size;
    out[r] = d < head_width ? to_float(from[d]) : 0.0f;
  }
}
template <class T, int R>
__device__ void store_head(T* to, const float (&from)[R], std::int64_t head_width, float factor) {
#pragma unroll
  for (int r = 0; r < R; ++r) {
    const std::int64_t d = r * warp_size + threadIdx.x % warp_size;
    if (d < head_width) to[d] = from_float<T>(from[r] * factor);
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
