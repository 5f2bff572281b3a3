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

namespace {

[[noreturn]] void no_cuda() { throw std::logic_error("no CUDA in this build"); }

}  // namespace

void* take_device(std::size_t) { no_cuda(); }
void give_device(void*) {}
void* take_pinned(std::size_t) { no_cuda(); }
void give_pinned(void*) {}
void device_copy(void*, const void*, std::size_t) { no_cuda(); }

}  // namespace blocktrain::kernels::testing
