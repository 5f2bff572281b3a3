// The denoised estimate and its loss (method: section 1, preconditioning and weight).
#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/parallel.hpp"
#include "kernels/preconditioning.hpp"

namespace blocktrain::kernels {

void CpuBackend::denoised(const Tensor& d, const Tensor& z, const Tensor& f, const Tensor& sigma, double sigma_data) {
  const std::int64_t samples = z.dim(0), size = z.row_size();
  const float* zp = z.as<float>();
  const float* fp = f.as<float>();
  const float* sp = sigma.as<float>();
  float* dp = d.as<float>();
  parallel_for(threads_, samples, [=](std::int64_t n) {
    const Preconditioning p(static_cast<double>(sp[n]), sigma_data);
    const float skip = static_cast<float>(p.c_skip), scale = static_cast<float>(p.c_out);
#pragma omp simd
    for (std::int64_t i = n * size; i < (n + 1) * size; ++i) dp[i] = skip * zp[i] + scale * fp[i];
  });
}

void CpuBackend::denoise_loss(const Tensor& loss, const Tensor& mse, const Tensor& df, const Tensor& z, const Tensor& y,
                              const Tensor& f, const Tensor& sigma, double sigma_data, LossWeighting weighting,
                              double loss_scale) {
  const std::int64_t samples = z.dim(0), size = z.row_size();
  const float* zp = z.as<float>();
  const float* yp = y.as<float>();
  const float* fp = f.as<float>();
  const float* sp = sigma.as<float>();
  float* dfp = df.empty() ? nullptr : df.as<float>();
  float* lp = loss.as<float>();
  float* mp = mse.as<float>();
  parallel_for(threads_, samples, [=](std::int64_t n) {
    const Preconditioning p(static_cast<double>(sp[n]), sigma_data);
    const double weight = weighting == LossWeighting::edm ? p.weight : 1.0;
    const float skip = static_cast<float>(p.c_skip), scale = static_cast<float>(p.c_out);
    const float gradient = static_cast<float>(loss_scale * weight * p.c_out * 2 / static_cast<double>(size));
    double sum = 0;
    // Short runs in float32, their sums in double.
    constexpr std::int64_t run = 256;
    for (std::int64_t first = n * size; first < (n + 1) * size; first += run) {
      const std::int64_t end = first + run < (n + 1) * size ? first + run : (n + 1) * size;
      float squares = 0;
      if (dfp != nullptr) {
#pragma omp simd reduction(+ : squares)
        for (std::int64_t i = first; i < end; ++i) {
          const float difference = skip * zp[i] + scale * fp[i] - yp[i];
          squares += difference * difference;
          dfp[i] = gradient * difference;
        }
      } else {
#pragma omp simd reduction(+ : squares)
        for (std::int64_t i = first; i < end; ++i) {
          const float difference = skip * zp[i] + scale * fp[i] - yp[i];
          squares += difference * difference;
        }
      }
      sum += static_cast<double>(squares);
    }
    const double mean = sum / static_cast<double>(size);
    mp[n] = static_cast<float>(mean);
    lp[n] = static_cast<float>(weight * mean);
  });
}

void CpuBackend::add_losses(StepState* state, const Tensor& loss, const Tensor& mse) {
  for (std::int64_t n = 0; n < loss.size(); ++n) {
    state->loss_sum += static_cast<double>(loss.as<float>()[n]);
    state->mse_sum += static_cast<double>(mse.as<float>()[n]);
  }
}

}  // namespace blocktrain::kernels
