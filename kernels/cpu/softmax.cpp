#include <algorithm>
#include <cmath>

#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/vector_math.hpp"

namespace blocktrain::kernels {

void CpuBackend::softmax(const Tensor& p, const Tensor& logits) {
  const std::int64_t samples = logits.dim(0), classes = logits.row_size();
  float* const out = p.as<float>();
  const float* const in = logits.as<float>();
  parallel_ranges(threads_, samples, rows_per_piece(classes), [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = begin; n < end; ++n) {
      const float* const row = in + n * classes;
      float* const to = out + n * classes;
      float largest = row[0];
#pragma omp simd reduction(max : largest)
      for (std::int64_t v = 0; v < classes; ++v) largest = row[v] > largest ? row[v] : largest;
#pragma omp simd
      for (std::int64_t v = 0; v < classes; ++v) to[v] = fast_exp(row[v] - largest);
      double sum = 0;  // of many terms, whatever their order
#pragma omp simd reduction(+ : sum)
      for (std::int64_t v = 0; v < classes; ++v) sum += static_cast<double>(to[v]);
      const auto by = static_cast<float>(1 / sum);
#pragma omp simd
      for (std::int64_t v = 0; v < classes; ++v) to[v] *= by;
    }
  });
}

}  // namespace blocktrain::kernels
