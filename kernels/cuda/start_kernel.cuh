#pragma once
/// What of a kernel is not C++: its launch, its dynamic shared memory, a barrier of some of its threads. Kept apart, so
/// that the tests can run kernels where there is no GPU (tests/emulated_gpu/).

#include <cuda_runtime_api.h>

#include <cstddef>

namespace blocktrain::kernels::cuda {

/// kernel<<<grid, threads, shared_bytes, stream>>>(arguments...). The runtime keeps an error of the launch.
template <class... Parameters, class... Arguments>
void start_kernel(dim3 grid, unsigned threads, std::size_t shared_bytes, cudaStream_t stream,
                  void (*kernel)(Parameters...), const Arguments&... arguments) {
  kernel<<<grid, threads, shared_bytes, stream>>>(arguments...);
}

/// The shared memory whose size the launch gave, aligned to 16 bytes.
__device__ inline float* dynamic_shared_memory() {
  extern __shared__ __align__(16) float memory[];
  return memory;
}

/// Waits for `threads` threads of the block, whole warps, that come to the same barrier, 1 to 4 (0 is that of
/// __syncthreads()).
__device__ inline void wait_for_some(int barrier, int threads) {
  // By constant numbers: for one known only as it runs, a block takes all 16 barriers there are.
  switch (barrier) {
    case 1:
      asm volatile("bar.sync 1, %0;" ::"r"(threads) : "memory");
      break;
    case 2:
      asm volatile("bar.sync 2, %0;" ::"r"(threads) : "memory");
      break;
    case 3:
      asm volatile("bar.sync 3, %0;" ::"r"(threads) : "memory");
      break;
    default:
      asm volatile("bar.sync 4, %0;" ::"r"(threads) : "memory");
  }
}

}  // namespace blocktrain::kernels::cuda
