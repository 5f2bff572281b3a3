#include "kernels/cpu/gemm.hpp"

#include <cblas.h>

#include <algorithm>

#include "kernels/cpu/parallel.hpp"
#include "kernels/error.hpp"

namespace blocktrain::kernels {
namespace {

constexpr std::int64_t round_up(std::int64_t n, std::int64_t unit) { return (n + unit - 1) / unit * unit; }

/// Tiles of an output: large enough that packing the operands costs little, at least eight where the shape allows it.
struct Tiling {
  std::int64_t rows, columns, down, across;
  Tiling(std::int64_t m, std::int64_t n) {
    constexpr std::int64_t largest = 1024, smallest = 64;
    rows = round_up((m + (m - 1) / largest) / ((m - 1) / largest + 1), 16);
    columns = round_up((n + (n - 1) / largest) / ((n - 1) / largest + 1), 16);
    count(m, n);
    while (down * across < 8 && std::max(rows, columns) > smallest) {
      std::int64_t& longer = rows >= columns ? rows : columns;
      longer = round_up(longer / 2, 16);
      count(m, n);
    }
  }
  void count(std::int64_t m, std::int64_t n) {
    down = (m + rows - 1) / rows;
    across = (n + columns - 1) / columns;
  }
};

void multiply(std::int64_t m, std::int64_t n, std::int64_t k, const GemmOperand& a, const GemmOperand& b, float* c,
              std::int64_t stride_c, float beta) {
  cblas_sgemm(CblasRowMajor, a.transposed ? CblasTrans : CblasNoTrans, b.transposed ? CblasTrans : CblasNoTrans,
              static_cast<blasint>(m), static_cast<blasint>(n), static_cast<blasint>(k), 1.0f, a.data,
              static_cast<blasint>(a.stride), b.data, static_cast<blasint>(b.stride), beta, c,
              static_cast<blasint>(stride_c));
}

/// op(a) from row i on; op(b) from column j on; either from depth p on.
GemmOperand a_from(const GemmOperand& a, std::int64_t i, std::int64_t p) {
  return {a.data + (a.transposed ? p * a.stride + i : i * a.stride + p), a.stride, a.transposed};
}
GemmOperand b_from(const GemmOperand& b, std::int64_t p, std::int64_t j) {
  return {b.data + (b.transposed ? j * b.stride + p : p * b.stride + j), b.stride, b.transposed};
}

}  // namespace

void gemm(int threads, std::int64_t rows, std::int64_t columns, std::int64_t depth, const GemmOperand& a,
          const GemmOperand& b, float* c, std::int64_t stride_c, bool accumulate, const float* bias) {
  BLOCKTRAIN_EXPECTS(rows >= 1 && columns >= 1 && depth >= 1);
  const Tiling tiling(rows, columns);
  parallel_for(threads, tiling.down * tiling.across, [&](std::int64_t tile) {
    const std::int64_t i = tile / tiling.across * tiling.rows, j = tile % tiling.across * tiling.columns;
    const std::int64_t m = std::min(tiling.rows, rows - i), n = std::min(tiling.columns, columns - j);
    float* out = c + i * stride_c + j;
    if (bias != nullptr) {
      for (std::int64_t r = 0; r < m; ++r) std::copy(bias + j, bias + j + n, out + r * stride_c);
    }
    multiply(m, n, depth, a_from(a, i, 0), b_from(b, 0, j), out, stride_c, accumulate || bias != nullptr ? 1.0f : 0.0f);
  });
}

void gemm_long_reduction(int threads, std::int64_t rows, std::int64_t columns, std::int64_t depth, const GemmOperand& a,
                         const GemmOperand& b, float* c, std::int64_t stride_c, float* scratch,
                         std::int64_t scratch_floats) {
  const std::int64_t size = rows * columns;
  const std::int64_t pieces = std::min({std::int64_t{8}, depth / 256, scratch_floats / size});
  if (size > 256 * 256 || pieces < 2) {
    gemm(threads, rows, columns, depth, a, b, c, stride_c, true, nullptr);
    return;
  }
  const std::int64_t piece = (depth + pieces - 1) / pieces;
  parallel_for(threads, pieces, [&](std::int64_t i) {
    const std::int64_t first = i * piece;
    multiply(rows, columns, std::min(piece, depth - first), a_from(a, 0, first), b_from(b, first, 0),
             scratch + i * size, columns, 0.0f);
  });
  parallel_ranges(threads, rows, rows_per_piece(columns), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      float* out = c + r * stride_c;
      for (std::int64_t i = 0; i < pieces; ++i) {
        const float* in = scratch + i * size + r * columns;
#pragma omp simd
        for (std::int64_t j = 0; j < columns; ++j) out[j] += in[j];
      }
    }
  });
}

}  // namespace blocktrain::kernels
