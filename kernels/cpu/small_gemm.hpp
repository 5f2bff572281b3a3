#pragma once
/// Products of small matrices that are already in cache, without packing: attention's inner loops.

#include <cstdint>

#include "kernels/cpu/float_vector.hpp"

namespace blocktrain::kernels {

/// The left factor of small_gemm: element (r, s) is data[r * row_step + s * column_step].
struct SmallFactor {
  const float* data;
  std::int64_t row_step, column_step;
};

namespace detail {

/// Rows x (Vectors registers of columns) of the output, held in registers over the whole depth.
template <int Rows, int Vectors>
inline void small_gemm_block(std::int64_t depth, const SmallFactor& a, const float* b, std::int64_t stride_b, float* c,
                             std::int64_t stride_c, bool accumulate, float scale) {
  FloatVector sum[Rows][Vectors];
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) sum[r][v] = FloatVector{};
  }
  for (std::int64_t s = 0; s < depth; ++s) {
    FloatVector x[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) x[v] = load_vector(b + s * stride_b + v * vector_lanes);
    const float* factor = a.data + s * a.column_step;
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      const float f = factor[r * a.row_step];
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) sum[r][v] += f * x[v];
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      float* out = c + r * stride_c + v * vector_lanes;
      const FloatVector value = scale * sum[r][v];
      store_vector(out, accumulate ? load_vector(out) + value : value);
    }
  }
}

/// All rows of `Vectors` registers of columns: blocks of Rows, then the rest in halves.
template <int Rows, int Vectors>
inline void small_gemm_columns(std::int64_t rows, std::int64_t depth, SmallFactor a, const float* b,
                               std::int64_t stride_b, float* c, std::int64_t stride_c, bool accumulate, float scale) {
  std::int64_t r = 0;
  for (; r + Rows <= rows; r += Rows) {
    small_gemm_block<Rows, Vectors>(depth, {a.data + r * a.row_step, a.row_step, a.column_step}, b, stride_b,
                                    c + r * stride_c, stride_c, accumulate, scale);
  }
  if constexpr (Rows > 1) {
    if (r < rows) {
      a.data += r * a.row_step;
      small_gemm_columns<Rows / 2, Vectors>(rows - r, depth, a, b, stride_b, c + r * stride_c, stride_c, accumulate,
                                            scale);
    }
  }
}

}  // namespace detail

/// c[rows, columns] = scale * a[rows, depth] b[depth, columns], or c += with `accumulate`; columns is a multiple of 16.
inline void small_gemm(std::int64_t rows, std::int64_t columns, std::int64_t depth, const SmallFactor& a,
                       const float* b, std::int64_t stride_b, float* c, std::int64_t stride_c, bool accumulate,
                       float scale) {
  std::int64_t j = 0;
#ifdef __AVX512F__
  for (; j + 64 <= columns; j += 64) {
    detail::small_gemm_columns<6, 4>(rows, depth, a, b + j, stride_b, c + j, stride_c, accumulate, scale);
  }
  for (; j + 32 <= columns; j += 32) {
    detail::small_gemm_columns<12, 2>(rows, depth, a, b + j, stride_b, c + j, stride_c, accumulate, scale);
  }
  for (; j < columns; j += 16) {
    detail::small_gemm_columns<16, 1>(rows, depth, a, b + j, stride_b, c + j, stride_c, accumulate, scale);
  }
#else
  for (; j < columns; j += 16) {
    detail::small_gemm_columns<6, 2>(rows, depth, a, b + j, stride_b, c + j, stride_c, accumulate, scale);
  }
#endif
}

}  // namespace blocktrain::kernels
