#include "kernels/cpu/cpu_facts.hpp"

namespace blocktrain::kernels {

std::string cpu_matrix_products() {
#if defined(__AVX512F__)
  return "own packed kernels, AVX-512";
#elif defined(__AVX2__) && defined(__FMA__)
  return "own packed kernels, AVX2";
#else
  return "own packed kernels, no AVX2: build with BLOCKTRAIN_CPU_ARCH for this machine to be faster";
#endif
}

bool cpu_threads_supported() {
#ifdef _OPENMP
  return true;
#else
  return false;
#endif
}

}  // namespace blocktrain::kernels
