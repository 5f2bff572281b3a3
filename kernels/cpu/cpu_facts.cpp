#include "kernels/cpu/cpu_facts.hpp"

extern "C" {
char* openblas_get_config();
char* openblas_get_corename();
}

namespace blocktrain::kernels {

std::string cpu_blas_name() {
  const std::string config = openblas_get_config();  // "OpenBLAS 0.3.21 NO_LAPACKE ..."
  const std::size_t version_end = config.find(' ', config.find(' ') + 1);
  return config.substr(0, version_end) + " (" + openblas_get_corename() + ")";
}

bool cpu_threads_supported() {
#ifdef _OPENMP
  return true;
#else
  return false;
#endif
}

}  // namespace blocktrain::kernels
