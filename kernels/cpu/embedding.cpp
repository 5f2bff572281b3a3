#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/vector_math.hpp"

namespace blocktrain::kernels {

void CpuBackend::embedding_forward(const Tensor& out, const Tensor& table, const Tensor& index, const Tensor& rows,
                                   std::int32_t ignored) {
  const std::int64_t width = table.row_size();
  float* const o = out.as<float>();
  const float* const from = table.as<float>();
  const std::int32_t* const which = index.as<std::int32_t>();
  const std::int32_t* const listed = rows.empty() ? nullptr : rows.as<std::int32_t>();
  const std::int64_t samples_of_a_piece = std::max<std::int64_t>(1, elementwise_piece / width);
  parallel_ranges(threads_, rows.empty() ? index.size() : rows.size(), samples_of_a_piece,
                  [=](std::int64_t begin, std::int64_t end) {
                    for (std::int64_t m = begin; m < end; ++m) {
                      const std::int64_t n = listed == nullptr ? m : listed[m];
                      if (which[n] == ignored) {
                        std::fill_n(o + n * width, width, 0.0f);
                      } else {
                        std::copy_n(from + which[n] * width, width, o + n * width);
                      }
                    }
                  });
}

void CpuBackend::embedding_backward(const Tensor& dtable, const Tensor& dout, const Tensor& index, const Tensor& rows,
                                    std::int32_t ignored) {
  const std::int64_t width = dtable.row_size(), count = rows.empty() ? index.size() : rows.size();
  float* const sums = dtable.as<float>();
  const float* const d = dout.as<float>();
  const std::int32_t* const which = index.as<std::int32_t>();
  const std::int32_t* const listed = rows.empty() ? nullptr : rows.as<std::int32_t>();
  // Pieces are ranges of columns: each walks the samples in order, whatever rows they meet in.
  constexpr std::int64_t columns_of_a_piece = 64;
  parallel_ranges(threads_, width, columns_of_a_piece, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t m = 0; m < count; ++m) {
      const std::int64_t n = listed == nullptr ? m : listed[m];
      if (which[n] == ignored) continue;
      float* const row = sums + which[n] * width;
      const float* const add = d + n * width;
#pragma omp simd
      for (std::int64_t c = begin; c < end; ++c) row[c] += add[c];
    }
  });
}

void CpuBackend::noise_features(const Tensor& out, const Tensor& sigma) {
  const std::int64_t half = out.shape[1] / 2;
  float* const o = out.as<float>();
  const float* const s = sigma.as<float>();
  const double steps = static_cast<double>(half);
  constexpr std::int64_t rows_of_a_piece = 32;
  parallel_ranges(threads_, out.shape[0], rows_of_a_piece, [=](std::int64_t begin, std::int64_t end) {
    // Angles reach hundreds of radians, so they are kept in double, and in quarter turns, until reduced.
    constexpr std::int64_t lanes = 64;
    double quarters_per_unit[lanes];
    for (std::int64_t first = 0; first < half; first += lanes) {
      const std::int64_t count = std::min(lanes, half - first);
      for (std::int64_t i = 0; i < count; ++i) {
        const double frequency = 100 * std::pow(10000.0, -static_cast<double>(first + i) / steps);
        quarters_per_unit[i] = frequency * (2 / std::numbers::pi);
      }
      for (std::int64_t n = begin; n < end; ++n) {
        const double c_noise = std::log(static_cast<double>(s[n])) / 4;
        float* const cosine = o + n * 2 * half + first;
        float* const sine = cosine + half;
#pragma omp simd
        for (std::int64_t i = 0; i < count; ++i) {
          const double quarters = quarters_per_unit[i] * c_noise;
          const double nearest = std::nearbyint(quarters);
          const SinCos angle =
              detail::sincos_quarters(static_cast<std::int32_t>(nearest), static_cast<float>(quarters - nearest));
          cosine[i] = angle.cos;
          sine[i] = angle.sin;
        }
      }
    }
  });
}

}  // namespace blocktrain::kernels
