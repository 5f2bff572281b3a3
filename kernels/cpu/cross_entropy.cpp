#include <algorithm>
#include <cmath>

#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/vector_math.hpp"

namespace blocktrain::kernels {

void CpuBackend::cross_entropy(const Tensor& loss, const Tensor& dlogits, const Tensor& logits, const Tensor& label,
                               double loss_scale, const Tensor& rows, std::int32_t ignored, const Tensor& weights) {
  const std::int64_t samples = logits.shape[0], classes = logits.row_size();
  const std::int32_t* const correct = label.as<std::int32_t>();
  float* const losses = loss.as<float>();
  float* const gradients = dlogits.empty() ? nullptr : dlogits.as<float>();
  const float* const all = logits.as<float>();
  const float all_scale = static_cast<float>(loss_scale);
  const float* const weight = weights.empty() ? nullptr : weights.as<float>();
  const std::int64_t samples_of_a_piece = std::max<std::int64_t>(1, elementwise_piece / classes);
  const std::int32_t* const listed = rows.empty() ? nullptr : rows.as<std::int32_t>();
  const std::int64_t count = rows.empty() ? samples : rows.size();
  parallel_ranges(threads_, count, samples_of_a_piece, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t m = begin; m < end; ++m) {
      const std::int64_t n = listed == nullptr ? m : listed[m];
      if (correct[n] == ignored) {
        losses[n] = 0;
        if (gradients != nullptr) std::fill_n(gradients + n * classes, classes, 0.0f);
        continue;
      }
      const float* const row = all + n * classes;
      float largest = row[0];
#pragma omp simd reduction(max : largest)
      for (std::int64_t v = 0; v < classes; ++v) largest = row[v] > largest ? row[v] : largest;
      float sum = 0;
#pragma omp simd reduction(+ : sum)
      for (std::int64_t v = 0; v < classes; ++v) sum += fast_exp(row[v] - largest);
      losses[n] = (largest - row[correct[n]]) + std::log(sum);
      if (gradients == nullptr) continue;
      float* const gradient = gradients + n * classes;
      const float scale = weight == nullptr ? all_scale : all_scale * weight[n];
      const float factor = scale / sum;
#pragma omp simd
      for (std::int64_t v = 0; v < classes; ++v) gradient[v] = factor * fast_exp(row[v] - largest);
      gradient[correct[n]] -= scale;
    }
  });
}

}  // namespace blocktrain::kernels
