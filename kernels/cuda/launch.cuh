#pragma once
/// Kernels over independent elements or rows. Launch shapes follow from the tensors' shapes alone, never from the
/// device, so that sums come out in the same order on every GPU.

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/check.hpp"
#include "kernels/cuda/element.cuh"
#include "kernels/cuda/start_kernel.cuh"

namespace blocktrain::kernels::cuda {

constexpr int warp_size = 32;
constexpr unsigned whole_warp = 0xffffffffu;
constexpr int threads_per_block = 256;
constexpr int warps_per_block = threads_per_block / warp_size;

constexpr std::int64_t divide_up(std::int64_t n, std::int64_t unit) { return (n + unit - 1) / unit; }

/// Blocks for `pieces` pieces of work, `per_block` at a time; kernels loop when there are more than the grid holds.
inline unsigned blocks_for(std::int64_t pieces, std::int64_t per_block) {
  return static_cast<unsigned>(std::clamp<std::int64_t>(divide_up(pieces, per_block), 1, 1 << 20));
}

/// Where and how wide a kernel runs.
struct Launch {
  cudaStream_t stream;
  dim3 grid;
  unsigned threads = threads_per_block;
  std::size_t shared_bytes = 0;
};

/// Starts `kernel`; throws LibraryError where that fails.
template <class... Parameters, class... Arguments>
void launch(const Launch& where, void (*kernel)(Parameters...), const Arguments&... arguments) {
  start_kernel(where.grid, where.threads, where.shared_bytes, where.stream, kernel, arguments...);
  BLOCKTRAIN_CUDA(cudaGetLastError());
}

template <class F>
__global__ void __launch_bounds__(threads_per_block) each_kernel(std::int64_t count, F f) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * threads_per_block;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * threads_per_block + threadIdx.x; i < count; i += step) {
    f(i);
  }
}

/// Calls f(i) on the device for every i in [0, count).
template <class F>
void each(cudaStream_t stream, std::int64_t count, F f) {
  if (count == 0) return;
  launch({stream, blocks_for(count, threads_per_block)}, each_kernel<F>, count, f);
}

/// Sum over a warp; every lane has it. The order is fixed.
__device__ inline float warp_sum(float x) {
  for (int d = warp_size / 2; d > 0; d /= 2) x += __shfl_xor_sync(whole_warp, x, d);
  return x;
}
__device__ inline double warp_sum(double x) {
  for (int d = warp_size / 2; d > 0; d /= 2) x += __shfl_xor_sync(whole_warp, x, d);
  return x;
}
__device__ inline float warp_max(float x) {
  for (int d = warp_size / 2; d > 0; d /= 2) x = fmaxf(x, __shfl_xor_sync(whole_warp, x, d));
  return x;
}

/// Sum over a block of threads_per_block threads; thread 0 has it. `scratch`: warps_per_block values in shared memory.
template <class T>
__device__ T block_sum(T x, T* scratch) {
  x = warp_sum(x);
  if (threadIdx.x % warp_size == 0) scratch[threadIdx.x / warp_size] = x;
  __syncthreads();
  T total = 0;
  if (threadIdx.x == 0) {
    for (int w = 0; w < warps_per_block; ++w) total += scratch[w];
  }
  __syncthreads();
  return total;
}

}  // namespace blocktrain::kernels::cuda
