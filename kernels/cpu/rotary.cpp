#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/parallel.hpp"

namespace blocktrain::kernels {

void CpuBackend::rotary(const Tensor& out, const Tensor& x, const Tensor& angles, bool inverse) {
  const std::int64_t tokens = angles.dim(0), width = angles.dim(1), half = width / 2, heads = token_width(x) / width;
  const std::int64_t samples = samples_of(x, tokens);
  const TokenStrides from = token_strides(x, samples), to = token_strides(out, samples);
  const float *const px = x.as<float>(), *const table = angles.as<float>();
  float* const po = out.as<float>();
  const float sign = inverse ? -1.0f : 1.0f;
  parallel_ranges(threads_, samples * tokens, rows_per_piece(heads * width), [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t n = row / tokens, t = row % tokens;
      const float* const cosine = table + t * width;
      const float* const sine = cosine + half;
      for (std::int64_t head = 0; head < heads; ++head) {
        const float* const in = px + n * from.sample + t * from.token + head * width;
        float* const result = po + n * to.sample + t * to.token + head * width;
#pragma omp simd
        for (std::int64_t i = 0; i < half; ++i) {
          const float first = in[i], second = in[half + i], s = sign * sine[i];
          result[i] = first * cosine[i] - second * s;
          result[half + i] = second * cosine[i] + first * s;
        }
      }
    }
  });
}

}  // namespace blocktrain::kernels
