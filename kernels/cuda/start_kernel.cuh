#pragma once
/// The two things of a kernel that are not C++: its launch and its dynamic shared memory. Kept apart, so that the tests
/// can run kernels where there is no GPU (tests/emulated_gpu/).

#include <cuda_runtime_api.h>

#include <cstddef>

namespace blocktrain::kernels::cuda {

/// kernel<<<grid, threads, shared_bytes, stream>>>(arguments...). The runtime keeps an error of the launch.
template <class... Parameters, class... Arguments>
void start_kernel(dim3 grid, unsigned threads, std::size_t shared_bytes, cudaStream_t stream,
                  void (*kernel)(Parameters...), const Arguments&... arguments) {
  kernel<<<grid, threads, shared_bytes, stream>>>(arguments...);
}

/// The shared memory whose size the launch gave.
__device__ inline float* dynamic_shared_memory() {
  extern __shared__ float memory[];
  return memory;
}

}  // namespace blocktrain::kernels::cuda
