#include <algorithm>
#include <cmath>

#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/philox_lanes.hpp"

namespace blocktrain::kernels {
namespace {

constexpr std::int64_t block_elements = 4 * philox_lanes;
/// Elements of a row that are one piece of work.
constexpr std::int64_t piece_elements = 64 * block_elements;

}  // namespace

void CpuBackend::dropout(const Tensor& out, const Tensor& x, double p, const RandomKey& key, const StepState* state,
                         std::uint32_t first_sample) {
  const std::int64_t rows = x.dim(0), columns = x.row_size();
  float* const to = out.as<float>();
  const float* const from = x.as<float>();
  const float scale = static_cast<float>(1 / (1 - p));
  // uniform_open(word) < p, that is (word + 1/2) 2^-32 < p: words up to this one, if any.
  const auto dropped = static_cast<std::int64_t>(std::ceil(p * 0x1p32 - 0.5));
  const float of_dropped = dropped > 0 ? 0.0f : scale;
  const auto last_dropped = static_cast<std::uint32_t>(std::max<std::int64_t>(dropped - 1, 0));
  const std::uint32_t step = state->step;
  const std::int64_t pieces_of_a_row = (columns + piece_elements - 1) / piece_elements;
  parallel_for(threads_, rows * pieces_of_a_row, [=](std::int64_t piece) {
    const std::int64_t row = piece / pieces_of_a_row, begin = piece % pieces_of_a_row * piece_elements;
    const std::int64_t end = std::min(begin + piece_elements, columns);
    PhiloxWords words;
    alignas(64) float keep[block_elements];
    for (std::int64_t e = begin; e < end; e += block_elements) {
      philox_groups(words, key, step, first_sample + static_cast<std::uint32_t>(row),
                    static_cast<std::uint32_t>(e / 4));
      alignas(64) float factor[4][philox_lanes];
      for (int w = 0; w < 4; ++w) {
#pragma omp simd
        for (int lane = 0; lane < philox_lanes; ++lane) {
          factor[w][lane] = words.word[w][lane] <= last_dropped ? of_dropped : scale;
        }
      }
      for (int lane = 0; lane < philox_lanes; ++lane) {
        for (int w = 0; w < 4; ++w) keep[4 * lane + w] = factor[w][lane];
      }
      const std::int64_t count = std::min(block_elements, end - e), at = row * columns + e;
#pragma omp simd
      for (std::int64_t i = 0; i < count; ++i) to[at + i] = keep[i] == 0.0f ? 0.0f : keep[i] * from[at + i];
    }
  });
}

}  // namespace blocktrain::kernels
