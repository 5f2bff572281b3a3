#include <algorithm>
#include <cmath>

#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/keyed_blocks.hpp"
#include "kernels/cpu/vector_math.hpp"

namespace blocktrain::kernels {
namespace {

/// Normal numbers of 64 words.
void make_normals(const PhiloxWords& words, float (&normal)[4][philox_lanes]) {
  for (int pair = 0; pair < 4; pair += 2) {
    const std::uint32_t* const radius_word = words.word[pair];
    const std::uint32_t* const angle_word = words.word[pair + 1];
    float* const with_cosine = normal[pair];
    float* const with_sine = normal[pair + 1];
#pragma omp simd
    for (int lane = 0; lane < philox_lanes; ++lane) {
      const float radius = std::sqrt(-2.0f * fast_log_uniform(radius_word[lane]));
      const SinCos angle = fast_sincos_uniform(angle_word[lane]);
      with_cosine[lane] = radius * angle.cos;
      with_sine[lane] = radius * angle.sin;
    }
  }
}

}  // namespace

void CpuBackend::random_normal(const Tensor& out, const RandomKey& key, std::uint32_t step,
                               std::uint32_t first_sample) {
  float* const o = out.as<float>();
  const std::int64_t stride = out.row_stride;
  for_each_keyed_block(threads_, out.shape[0], out.row_size(), key, step, first_sample, make_normals,
                       [=](std::int64_t row, std::int64_t e, std::int64_t count, const float* normals) {
                         std::copy_n(normals, count, o + row * stride + e);
                       });
}

void CpuBackend::add_noise(const Tensor& z, const Tensor& y, const Tensor& sigma, const RandomKey& key,
                           const StepState* state, std::uint32_t first_sample) {
  const std::int64_t columns = z.row_size();
  float* const pz = z.as<float>();
  const float* const py = y.as<float>();
  const float* const ps = sigma.as<float>();
  for_each_keyed_block(threads_, z.shape[0], columns, key, state->step, first_sample, make_normals,
                       [=](std::int64_t row, std::int64_t e, std::int64_t count, const float* normals) {
                         const float s = ps[row];
                         float* const to = pz + row * columns + e;
                         const float* const from = py + row * columns + e;
#pragma omp simd
                         for (std::int64_t i = 0; i < count; ++i) to[i] = from[i] + s * normals[i];
                       });
}

void CpuBackend::drop_labels(const Tensor& out, const Tensor& in, std::int32_t null_label, double p,
                             const RandomKey& key, const StepState* state, std::uint32_t first_sample) {
  std::int32_t* const o = out.as<std::int32_t>();
  const std::int32_t* const x = in.as<std::int32_t>();
  const std::uint32_t step = state == nullptr ? 0 : state->step;
  for (std::int64_t n = 0; n < in.size(); ++n) {
    const auto words = random_words(key, step, first_sample + static_cast<std::uint32_t>(n), 0);
    o[n] = x[n] < 0 || uniform_open(words[0]) < p ? null_label : x[n];
  }
}

}  // namespace blocktrain::kernels
