#include <algorithm>
#include <cmath>

#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/keyed_blocks.hpp"

namespace blocktrain::kernels {

void CpuBackend::dropout(const Tensor& out, const Tensor& x, double p, const RandomKey& key, const StepState* state,
                         std::uint32_t first_sample) {
  const std::int64_t columns = x.row_size();
  float* const to = out.as<float>();
  const float* const from = x.as<float>();
  const float scale = static_cast<float>(1 / (1 - p));
  // uniform_open(word) < p, that is (word + 1/2) 2^-32 < p: words up to this one, if any.
  const auto dropped = static_cast<std::int64_t>(std::ceil(p * 0x1p32 - 0.5));
  const float of_dropped = dropped > 0 ? 0.0f : scale;
  const auto last_dropped = static_cast<std::uint32_t>(std::max<std::int64_t>(dropped - 1, 0));
  const auto make_factors = [=](const PhiloxWords& words, float(&factor)[4][philox_lanes]) {
    for (int w = 0; w < 4; ++w) {
#pragma omp simd
      for (int lane = 0; lane < philox_lanes; ++lane) {
        factor[w][lane] = words.word[w][lane] <= last_dropped ? of_dropped : scale;
      }
    }
  };
  for_each_keyed_block(threads_, x.dim(0), columns, key, state->step, first_sample, make_factors,
                       [=](std::int64_t row, std::int64_t e, std::int64_t count, const float* factor) {
                         const std::int64_t at = row * columns + e;
#pragma omp simd
                         for (std::int64_t i = 0; i < count; ++i) {
                           to[at + i] = factor[i] == 0.0f ? 0.0f : factor[i] * from[at + i];
                         }
                       });
}

}  // namespace blocktrain::kernels
