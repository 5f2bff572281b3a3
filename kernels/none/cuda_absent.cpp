// The CUDA device of a build without CUDA: the same functions, and a clear answer.
#include "kernels/device.hpp"
#include "kernels/error.hpp"

namespace blocktrain::kernels {
namespace {
constexpr const char* absent =
    "this build has no CUDA kernels (build with -DBLOCKTRAIN_CUDA=ON where a CUDA toolkit is installed)";
}

std::unique_ptr<Device> make_cuda_device(int, DType, bool, bool) { throw InputError(absent); }

int cuda_devices(std::string* why) {
  if (why != nullptr) *why = absent;
  return 0;
}

std::string cuda_facts() { return {}; }

}  // namespace blocktrain::kernels
