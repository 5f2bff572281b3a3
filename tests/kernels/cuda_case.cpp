#include "tests/kernels/cuda_case.hpp"

#include <cstdlib>

#include "kernels/cuda/check.hpp"
#include "kernels/cuda/cuda_ops.hpp"
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
  return std::make_unique<CudaOps>(dtype, true);
}

void* take_managed(std::size_t bytes) {
  void* memory = nullptr;
  BLOCKTRAIN_CUDA(cudaMallocManaged(&memory, bytes));
  return memory;
}

void give_managed(void* memory) { cudaFree(memory); }

}  // namespace blocktrain::kernels::testing
