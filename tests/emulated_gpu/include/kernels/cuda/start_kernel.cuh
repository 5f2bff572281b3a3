#pragma once
/// Takes the place of kernels/cuda/start_kernel.cuh where kernels are compiled for the emulated GPU.

#include <cstddef>
#include <tuple>

#include "tests/emulated_gpu/cuda_words.hpp"
#include "tests/emulated_gpu/stream.hpp"

namespace blocktrain::kernels::cuda {

template <class... Parameters, class... Arguments>
void start_kernel(dim3 grid, unsigned threads, std::size_t shared_bytes, cudaStream_t stream,
                  void (*kernel)(Parameters...), const Arguments&... arguments) {
  emulated_gpu::start_kernel(
      stream, {grid, threads, shared_bytes},
      [kernel, values = std::tuple<Parameters...>(arguments...)] { std::apply(kernel, values); });
}

inline float* dynamic_shared_memory() { return static_cast<float*>(emulated_gpu::dynamic_shared_memory()); }

inline void wait_for_some(int barrier, int threads) { emulated_gpu::wait_for_some(barrier, threads); }

}  // namespace blocktrain::kernels::cuda
