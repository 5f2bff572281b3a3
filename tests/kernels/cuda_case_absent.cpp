// The op tests of a build without CUDA.
#include <stdexcept>

#include "kernels/device.hpp"
#include "tests/kernels/cuda_case.hpp"
#include "tests/kernels/skip_once.hpp"

namespace blocktrain::kernels::testing {

std::unique_ptr<Ops> cuda_ops(DType) {
  std::string why;
  cuda_devices(&why);
  skip_once(why);
  return nullptr;
}

void* take_managed(std::size_t) { throw std::logic_error("no CUDA in this build"); }
void give_managed(void*) {}

}  // namespace blocktrain::kernels::testing
