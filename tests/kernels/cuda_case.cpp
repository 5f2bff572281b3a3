#include "tests/kernels/cuda_case.hpp"

#include <cstdlib>

#include "kernels/cuda/check.hpp"
#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/device.hpp"
#include "tests/kernels/skip_once.hpp"

namespace blocktrain::kernels::testing {

std::unique_ptr<Ops> cuda_ops(DType dtype) {
  setenv("CUDA_LAUNCH_BLOCKING", "1", 1);
  std::string why;
  if (cuda_devices(&why) == 0) {
    skip_once(why);
    return nullptr;
  }
  return std::make_unique<Ops>(std::make_unique<CudaBackend>(dtype, true));
}

void* take_device(std::size_t bytes) {
  void* memory = nullptr;
  BLOCKTRAIN_CUDA(cudaMalloc(&memory, bytes));
  return memory;
}

void give_device(void* memory) { cudaFree(memory); }

void* take_pinned(std::size_t bytes) {
  void* memory = nullptr;
  BLOCKTRAIN_CUDA(cudaMallocHost(&memory, bytes));
  return memory;
}

void give_pinned(void* memory) { cudaFreeHost(memory); }

void device_copy(void* to, const void* from, std::size_t bytes) {
  BLOCKTRAIN_CUDA(cudaDeviceSynchronize());
  BLOCKTRAIN_CUDA(cudaMemcpy(to, from, bytes, cudaMemcpyDefault));
  BLOCKTRAIN_CUDA(cudaDeviceSynchronize());
}

}  // namespace blocktrain::kernels::testing
