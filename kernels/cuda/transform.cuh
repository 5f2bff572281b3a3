#pragma once
/// Elementwise loops, eight numbers to a thread in accesses of 16 bytes, one by one at the end and where an operand is
/// not aligned.

#include "kernels/cuda/launch.cuh"

namespace blocktrain::kernels::cuda {

constexpr int lanes = 8;

/// Eight numbers in float32.
struct Lanes {
  float value[lanes];
};

template <class T>
__device__ Lanes load_lanes(const T* from) {
  Lanes out;
#pragma unroll
  for (int p = 0; p < lanes / pack_size<T>; ++p) {
    const Pack<T> pack = load_pack(from + p * pack_size<T>);
#pragma unroll
    for (int i = 0; i < pack_size<T>; ++i) out.value[p * pack_size<T> + i] = to_float(pack.value[i]);
  }
  return out;
}

template <class T>
__device__ void store_lanes(T* to, const Lanes& from) {
#pragma unroll
  for (int p = 0; p < lanes / pack_size<T>; ++p) {
    Pack<T> pack;
#pragma unroll
    for (int i = 0; i < pack_size<T>; ++i) pack.value[i] = from_float<T>(from.value[p * pack_size<T> + i]);
    store_pack(to + p * pack_size<T>, pack);
  }
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
