// The CUDA device of a build without CUDA: the same functions, and a clear answer.

#include "comm/nccl/cuda_device_api.hpp"
#include "kernels/error.hpp"

namespace blocktrain::comm {
namespace {

[[noreturn]] void refuse() {
  throw InputError(
      "this blocktrain was built without CUDA: train on the CPU (parallel.device: cpu), or build again with "
      "-DBLOCKTRAIN_CUDA=ON where a CUDA toolkit is installed");
}

}  // namespace

bool cuda_device_api_available() { return false; }

std::shared_ptr<const DeviceApi> cuda_device_api() { refuse(); }

std::string cuda_gpu_uuid(int) { refuse(); }

}  // namespace blocktrain::comm
