#include <algorithm>
#include <cmath>

#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/philox_lanes.hpp"
#include "kernels/cpu/vector_math.hpp"

namespace blocktrain::kernels {
namespace {

/// Elements of a block: always computed whole, so an element's bits do not depend on where its row ends.
constexpr std::int64_t block_elements = 4 * philox_lanes;
/// Elements of a row that are one piece of work.
constexpr std::int64_t piece_elements = 64 * block_elements;

/// The 64 normal numbers from element 4 * first_group of `sample` on.
void normal_block(float* out, const RandomKey& key, std::uint32_t step, std::uint32_t sample,
                  std::uint32_t first_group) {
  PhiloxWords words;
  philox_groups(words, key, step, sample, first_group);
  alignas(64) float normal[4][philox_lanes];
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
  for (int lane = 0; lane < philox_lanes; ++lane) {
    for (int i = 0; i < 4; ++i) out[4 * lane + i] = normal[i][lane];
  }
}

/// Calls use(row, first element, count, normals) for every block of every row of a tensor of rows * columns.
template <class Use>
void for_each_block(int threads, std::int64_t rows, std::int64_t columns, const RandomKey& key, std::uint32_t step,
                    std::uint32_t first_sample, Use use) {
  if (columns == 0) return;
  const std::int64_t pieces_of_a_row = (columns + piece_elements - 1) / piece_elements;
  const std::int64_t pieces_at_once = std::max<std::int64_t>(1, piece_elements / columns);
  parallel_ranges(threads, rows * pieces_of_a_row, pieces_at_once, [&](std::int64_t first, std::int64_t last) {
    alignas(64) float normals[block_elements];
    for (std::int64_t piece = first; piece < last; ++piece) {
      const std::int64_t row = piece / pieces_of_a_row;
      const std::int64_t begin = piece % pieces_of_a_row * piece_elements;
      const std::int64_t end = std::min(begin + piece_elements, columns);
      const std::uint32_t sample = first_sample + static_cast<std::uint32_t>(row);
      for (std::int64_t e = begin; e < end; e += block_elements) {
        normal_block(normals, key, step, sample, static_cast<std::uint32_t>(e / 4));
        use(row, e, std::min(block_elements, end - e), normals);
      }
    }
  });
}

}  // namespace

void CpuBackend::random_normal(const Tensor& out, const RandomKey& key, std::uint32_t step,
                               std::uint32_t first_sample) {
  float* const o = out.as<float>();
  const std::int64_t stride = out.row_stride;
  for_each_block(threads_, out.shape[0], out.row_size(), key, step, first_sample,
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
  for_each_block(threads_, z.shape[0], columns, key, state->step, first_sample,
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
