#pragma once
/// Elementwise loops, eight numbers to a thread in accesses of 16 bytes, one by one at the end and where an operand is
/// not aligned.

#include <bit>
#include <cstring>
#include <type_traits>

#include "kernels/cuda/launch.cuh"

namespace blocktrain::kernels::cuda {

constexpr int lanes = 8;

/// Eight numbers in float32.
struct Lanes {
  float value[lanes];
};

/// Eight numbers as they are stored, in whole registers: bfloat16 takes half as many as in float32.
template <class T>
struct Raw {
  static constexpr int packs = lanes / pack_size<T>;
  uint4 words[packs];
};

/// 16 bytes of global memory, in one access and where it is written in the source: the compiler splits stores of packs
/// that it has put together, and moves loads that were to be under way at once to where each is used.
__device__ inline uint4 load_words(const void* from) {
#ifdef __CUDA_ARCH__
  uint4 w;
  asm volatile("ld.global.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(w.x), "=r"(w.y), "=r"(w.z), "=r"(w.w)
               : "l"(__cvta_generic_to_global(from))
               : "memory");
  return w;
#else
  return *static_cast<const uint4*>(from);
#endif
}
__device__ inline void store_words(void* to, uint4 w) {
#ifdef __CUDA_ARCH__
  asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(to)), "r"(w.x), "r"(w.y),
               "r"(w.z), "r"(w.w)
               : "memory");
#else
  *static_cast<uint4*>(to) = w;
#endif
}

template <class T>
__device__ Raw<T> load_raw(const T* from) {
  Raw<T> raw;
#pragma unroll
  for (int p = 0; p < Raw<T>::packs; ++p) raw.words[p] = load_words(from + p * pack_size<T>);
  return raw;
}
template <class T>
__device__ void store_raw(T* to, const Raw<T>& raw) {
#pragma unroll
  for (int p = 0; p < Raw<T>::packs; ++p) store_words(to + p * pack_size<T>, raw.words[p]);
}

/// Makes the compiler take `raw` for something new: what was worked out from it before is worked out again, and need
/// not stay in registers until then.
template <class T>
__device__ void forget(Raw<T>& raw) {
#pragma unroll
  for (uint4& w : raw.words) asm volatile("" : "+r"(w.x), "+r"(w.y), "+r"(w.z), "+r"(w.w)::"memory");
}

__device__ inline Lanes unpack(const Raw<float>& raw) {
  Lanes out;
#pragma unroll
  for (int p = 0; p < Raw<float>::packs; ++p) {
    const uint4 w = raw.words[p];
    out.value[4 * p] = std::bit_cast<float>(w.x);
    out.value[4 * p + 1] = std::bit_cast<float>(w.y);
    out.value[4 * p + 2] = std::bit_cast<float>(w.z);
    out.value[4 * p + 3] = std::bit_cast<float>(w.w);
  }
  return out;
}
/// A bfloat16 is the upper half of its float32.
__device__ inline Lanes unpack(const Raw<BFloat16>& raw) {
  const std::uint32_t words[4] = {raw.words[0].x, raw.words[0].y, raw.words[0].z, raw.words[0].w};
  Lanes out;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    out.value[2 * i] = std::bit_cast<float>(words[i] << 16);
    out.value[2 * i + 1] = std::bit_cast<float>(words[i] & 0xffff0000u);
  }
  return out;
}

/// Two numbers rounded to bfloat16, the first in the lower half.
__device__ inline std::uint32_t two_bfloat16(float first, float second) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(first, second);
  std::uint32_t word;
  memcpy(&word, &pair, sizeof(word));
  return word;
}

template <class T>
__device__ Raw<T> pack(const Lanes& from) {
  const float* const v = from.value;
  Raw<T> raw;
  if constexpr (std::is_same_v<T, float>) {
#pragma unroll
    for (int p = 0; p < Raw<T>::packs; ++p) {
      raw.words[p] = {std::bit_cast<std::uint32_t>(v[4 * p]), std::bit_cast<std::uint32_t>(v[4 * p + 1]),
                      std::bit_cast<std::uint32_t>(v[4 * p + 2]), std::bit_cast<std::uint32_t>(v[4 * p + 3])};
    }
  } else {
    raw.words[0] = {two_bfloat16(v[0], v[1]), two_bfloat16(v[2], v[3]), two_bfloat16(v[4], v[5]),
                    two_bfloat16(v[6], v[7])};
  }
  return raw;
}

template <class T>
__device__ Lanes load_lanes(const T* from) {
  return unpack(load_raw(from));
}
template <class T>
__device__ void store_lanes(T* to, const Lanes& from) {
  store_raw(to, pack<T>(from));
}

/// out[i] = f(in[i]...).
template <class F, class Out, class... In>
__global__ void __launch_bounds__(threads_per_block)
    transform_kernel(std::int64_t packed, std::int64_t size, F f, Out* out, const In*... in) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * threads_per_block;
  const std::int64_t thread = static_cast<std::int64_t>(blockIdx.x) * threads_per_block + threadIdx.x;
  for (std::int64_t i = thread * lanes; i < packed; i += step * lanes) {
    const auto apply = [&](const auto&... x) {
      Lanes result;
#pragma unroll
      for (int l = 0; l < lanes; ++l) result.value[l] = f(x.value[l]...);
      return result;
    };
    store_lanes(out + i, apply(load_lanes(in + i)...));
  }
  for (std::int64_t i = packed + thread; i < size; i += step) out[i] = from_float<Out>(f(to_float(in[i])...));
}

template <class F, class Out, class... In>
void transform(cudaStream_t stream, std::int64_t size, F f, Out* out, const In*... in) {
  if (size == 0) return;
  const bool aligned = packs_at(out) && (packs_at(in) && ... && true);
  const std::int64_t packed = aligned ? size / lanes * lanes : 0;
  const unsigned blocks = blocks_for(std::max(packed / lanes, size - packed), threads_per_block);
  launch({stream, blocks}, transform_kernel<F, Out, In...>, packed, size, f, out, in...);
}

}  // namespace blocktrain::kernels::cuda
