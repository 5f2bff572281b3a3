#include "bench/device_memory.hpp"

#ifdef BENCH_CUDA
#include <cuda_runtime_api.h>
#endif

namespace blocktrain::bench {

std::size_t free_device_bytes() {
  std::size_t free = 0;
#ifdef BENCH_CUDA
  std::size_t all = 0;
  if (cudaMemGetInfo(&free, &all) != cudaSuccess) return 0;
#endif
  return free;
}

}  // namespace blocktrain::bench
