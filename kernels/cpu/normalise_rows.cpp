#include <cmath>

#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/parallel.hpp"

namespace blocktrain::kernels {
namespace {

float dot(const float* a, const float* b, std::int64_t n) {
  double sum = 0;  // rows may be long
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < n; ++i) sum += static_cast<double>(a[i] * b[i]);
  return static_cast<float>(sum);
}

}  // namespace

void CpuBackend::normalise_rows(const Tensor& out, const Tensor& norm, const Tensor& table) {
  const std::int64_t rows = table.dim(0), width = table.row_size();
  float *const to = out.as<float>(), *const norms = norm.as<float>();
  const float* const from = table.as<float>();
  parallel_ranges(threads_, rows, rows_per_piece(width), [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      const float* const x = from + r * width;
      const float length = std::sqrt(dot(x, x, width)), by = length > 0 ? 1 / length : 0;
      norms[r] = length;
#pragma omp simd
      for (std::int64_t c = 0; c < width; ++c) to[r * width + c] = by * x[c];
    }
  });
}

void CpuBackend::normalise_rows_backward(const Tensor& dtable, const Tensor& dout, const Tensor& out,
                                         const Tensor& norm) {
  const std::int64_t rows = out.dim(0), width = out.row_size();
  float* const to = dtable.as<float>();
  const float *const d = dout.as<float>(), *const unit = out.as<float>(), *const norms = norm.as<float>();
  parallel_ranges(threads_, rows, rows_per_piece(width), [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      if (norms[r] == 0) continue;
      const std::int64_t at = r * width;
      const float along = dot(unit + at, d + at, width), by = 1 / norms[r];
#pragma omp simd
      for (std::int64_t c = at; c < at + width; ++c) to[c] += by * (d[c] - unit[c] * along);
    }
  });
}

}  // namespace blocktrain::kernels
