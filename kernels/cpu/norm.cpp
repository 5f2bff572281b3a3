// Layer normalisation with adaptive scale and shift. A row stays in the first cache between its passes.
#include <cmath>

#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/parallel.hpp"

namespace blocktrain::kernels {

void CpuBackend::norm_modulate_forward(const Tensor& out, const Tensor& mean, const Tensor& rstd, const Tensor& x,
                                       const Tensor& shift, const Tensor& scale, double epsilon) {
  const std::int64_t samples = x.dim(0), tokens = x.dim(1), width = x.dim(2);
  const float* xp = x.as<float>();
  float* op = out.as<float>();
  float* mp = mean.as<float>();
  float* rp = rstd.as<float>();
  const float* sp = scale.as<float>();
  const float* hp = shift.as<float>();
  const float inverse_width = 1.0f / static_cast<float>(width);
  const float eps = static_cast<float>(epsilon);
  parallel_ranges(threads_, samples * tokens, rows_per_piece(width), [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t n = row / tokens;
      const float* a = xp + row * width;
      const float* s = sp + n * scale.row_stride;
      const float* h = hp + n * shift.row_stride;
      float* o = op + row * width;
      float sum = 0;
#pragma omp simd reduction(+ : sum)
      for (std::int64_t c = 0; c < width; ++c) sum += a[c];
      const float mu = sum * inverse_width;
      float squares = 0;
#pragma omp simd reduction(+ : squares)
      for (std::int64_t c = 0; c < width; ++c) squares += (a[c] - mu) * (a[c] - mu);
      const float r = 1.0f / std::sqrt(squares * inverse_width + eps);
      mp[row] = mu;
      rp[row] = r;
#pragma omp simd
      for (std::int64_t c = 0; c < width; ++c) o[c] = (a[c] - mu) * r * (1.0f + s[c]) + h[c];
    }
  });
}

void CpuBackend::norm_modulate_backward(const Tensor& dx, const Tensor& dshift, const Tensor& dscale,
                                        const Tensor& dout, const Tensor& x, const Tensor& mean, const Tensor& rstd,
                                        const Tensor& scale) {
  const std::int64_t samples = x.dim(0), tokens = x.dim(1), width = x.dim(2);
  const float inverse_width = 1.0f / static_cast<float>(width);
  // The sums over tokens belong to one sample: one piece of work each, added in the order of the tokens.
  parallel_for(threads_, samples, [&](std::int64_t n) {
    const float* s = scale.as<float>() + n * scale.row_stride;
    float* ds = dscale.as<float>() + n * dscale.row_stride;
    float* dh = dshift.as<float>() + n * dshift.row_stride;
    for (std::int64_t c = 0; c < width; ++c) ds[c] = dh[c] = 0;
    for (std::int64_t row = n * tokens; row < (n + 1) * tokens; ++row) {
      const float* a = x.as<float>() + row * width;
      const float* d = dout.as<float>() + row * width;
      float* g = dx.as<float>() + row * width;
      const float mu = mean.as<float>()[row], r = rstd.as<float>()[row];
      float sum = 0, dot = 0;
#pragma omp simd reduction(+ : sum, dot)
      for (std::int64_t c = 0; c < width; ++c) {
        const float normal = (a[c] - mu) * r;
        const float gradient = d[c] * (1.0f + s[c]);
        sum += gradient;
        dot += gradient * normal;
        dh[c] += d[c];
        ds[c] += d[c] * normal;
      }
      const float mean_gradient = sum * inverse_width, mean_dot = dot * inverse_width;
#pragma omp simd
      for (std::int64_t c = 0; c < width; ++c) {
        const float normal = (a[c] - mu) * r;
        g[c] += r * (d[c] * (1.0f + s[c]) - mean_gradient - normal * mean_dot);
      }
    }
  });
}

}  // namespace blocktrain::kernels
