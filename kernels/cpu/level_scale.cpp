#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/parallel.hpp"
#include "kernels/preconditioning.hpp"

namespace blocktrain::kernels {

void CpuBackend::scale_by_level(const Tensor& out, const Tensor& x, const Tensor& sigma, LevelFactor factor,
                                double sigma_data, bool accumulate) {
  const std::int64_t samples = x.dim(0), size = x.row_size();
  float* const to = out.as<float>();
  const float *const from = x.as<float>(), *const levels = sigma.as<float>();
  parallel_for(threads_, samples, [=](std::int64_t n) {
    const auto by = static_cast<float>(level_factor(factor, static_cast<double>(levels[n]), sigma_data));
    if (accumulate) {
#pragma omp simd
      for (std::int64_t i = n * size; i < (n + 1) * size; ++i) to[i] += by * from[i];
    } else {
#pragma omp simd
      for (std::int64_t i = n * size; i < (n + 1) * size; ++i) to[i] = by * from[i];
    }
  });
}

}  // namespace blocktrain::kernels
