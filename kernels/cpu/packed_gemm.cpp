#include "kernels/cpu/packed_gemm.hpp"

#include <algorithm>
#include <cstring>

namespace blocktrain::kernels::packed {
namespace {

typedef float Quad __attribute__((vector_size(16)));

/// out[k * Width + r] = from[r * stride + k] for r < Width, k < depth: squares of 4 x 4 are turned in registers.
template <std::int64_t Width>
void transpose(const float* from, std::int64_t stride, std::int64_t depth, float* out) {
  std::int64_t k = 0;
  for (; k + 4 <= depth; k += 4) {
    std::int64_t r = 0;
    for (; r + 4 <= Width; r += 4) {
      Quad row[4];
      for (int i = 0; i < 4; ++i) std::memcpy(&row[i], from + (r + i) * stride + k, sizeof(Quad));
      const Quad low01 = __builtin_shufflevector(row[0], row[1], 0, 4, 1, 5);
      const Quad low23 = __builtin_shufflevector(row[2], row[3], 0, 4, 1, 5);
      const Quad high01 = __builtin_shufflevector(row[0], row[1], 2, 6, 3, 7);
      const Quad high23 = __builtin_shufflevector(row[2], row[3], 2, 6, 3, 7);
      const Quad column[4] = {
          __builtin_shufflevector(low01, low23, 0, 1, 4, 5), __builtin_shufflevector(low01, low23, 2, 3, 6, 7),
          __builtin_shufflevector(high01, high23, 0, 1, 4, 5), __builtin_shufflevector(high01, high23, 2, 3, 6, 7)};
      for (int i = 0; i < 4; ++i) std::memcpy(out + (k + i) * Width + r, &column[i], sizeof(Quad));
    }
    for (; r < Width; ++r) {
      for (int i = 0; i < 4; ++i) out[(k + i) * Width + r] = from[r * stride + k + i];
    }
  }
  for (; k < depth; ++k) {
    for (std::int64_t r = 0; r < Width; ++r) out[k * Width + r] = from[r * stride + k];
  }
}

/// The same for fewer than Width rows; the others become 0.
template <std::int64_t Width>
void transpose_some(const float* from, std::int64_t stride, std::int64_t depth, std::int64_t rows, float* out) {
  std::fill(out, out + depth * Width, 0.0f);
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t k = 0; k < depth; ++k) out[k * Width + r] = from[r * stride + k];
  }
}

/// Packs `rows` rows and `depth` columns of op(a) to panels of block_rows, each [depth][block_rows], zero-padded.
void pack_left(const GemmOperand& a, std::int64_t rows, std::int64_t depth, float* out) {
  const std::int64_t whole = rows / block_rows * block_rows;
  if (!a.transposed) {
    for (std::int64_t i = 0; i < whole; i += block_rows) {
      transpose<block_rows>(a.data + i * a.stride, a.stride, depth, out + i * depth);
    }
    if (whole < rows) {
      transpose_some<block_rows>(a.data + whole * a.stride, a.stride, depth, rows - whole, out + whole * depth);
    }
    return;
  }
  if (whole < rows) std::fill(out + whole * depth, out + (whole + block_rows) * depth, 0.0f);
  for (std::int64_t k = 0; k < depth; ++k) {
    const float* from = a.data + k * a.stride;
    // Rows of the stored matrix are far apart, further than the hardware looks ahead.
    constexpr std::int64_t ahead = 16;
    if (k + ahead < depth) {
      for (std::int64_t i = 0; i < rows; i += 16) __builtin_prefetch(from + ahead * a.stride + i);
    }
    for (std::int64_t i = 0; i < whole; i += block_rows) {
      std::memcpy(out + i * depth + k * block_rows, from + i, block_rows * sizeof(float));
    }
    for (std::int64_t i = whole; i < rows; ++i) out[whole * depth + k * block_rows + i - whole] = from[i];
  }
}

/// A left panel: row r at depth k is data[k * step + r].
struct Left {
  const float* data;
  std::int64_t step;
};

/// Rows x block_columns of the output, from a left panel of at least as many rows.
template <std::int64_t Rows>
void block(std::int64_t depth, const Left& left, const Right& right, float* c, std::int64_t stride_c,
           const Finish& finish) {
  const float* a = left.data;
  const float* b = right.data;
  constexpr int rows = static_cast<int>(Rows);
  FloatVector sum[rows][2];
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
    sum[r][0] = sum[r][1] = FloatVector{};
    __builtin_prefetch(c + r * stride_c, 1);
    __builtin_prefetch(c + r * stride_c + block_columns - 1, 1);
  }
  for (std::int64_t k = 0; k < depth; ++k) {
    const FloatVector x0 = load_vector(b), x1 = load_vector(b + vector_lanes);
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
      sum[r][0] += a[r] * x0;
      sum[r][1] += a[r] * x1;
    }
    a += left.step;
    b += right.step;
  }
  FloatVector bias[2] = {FloatVector{}, FloatVector{}};
  if (finish.bias != nullptr) {
    bias[0] = load_vector(finish.bias);
    bias[1] = load_vector(finish.bias + vector_lanes);
  }
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) {
      float* out = c + r * stride_c + v * vector_lanes;
      const FloatVector value = sum[r][v] + bias[v];
      store_vector(out, finish.accumulate ? load_vector(out) + value : value);
    }
  }
}

/// A block at the edge of the output, rows x columns of it: in the smallest of three heights that holds it, and aside
/// where that is too large.
template <std::int64_t Rows>
void edge_block(std::int64_t depth, const Left& left, const Right& right, float* c, std::int64_t stride_c,
                const Finish& finish, std::int64_t rows, std::int64_t columns) {
  if constexpr (Rows > block_rows / 3) {
    if (rows <= Rows - block_rows / 3) {
      return edge_block<Rows - block_rows / 3>(depth, left, right, c, stride_c, finish, rows, columns);
    }
  }
  if (rows == Rows && columns == block_columns) return block<Rows>(depth, left, right, c, stride_c, finish);
  float full[Rows * block_columns];
  block<Rows>(depth, left, right, full, block_columns, {false, nullptr});
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t j = 0; j < columns; ++j) {
      const float value = full[r * block_columns + j] + (finish.bias != nullptr ? finish.bias[j] : 0.0f);
      float& out = c[r * stride_c + j];
      out = finish.accumulate ? out + value : value;
    }
  }
}

}  // namespace

void pack_right(const GemmOperand& b, std::int64_t columns, std::int64_t panel, std::int64_t first, std::int64_t depth,
                float* out) {
  const std::int64_t j = panel * block_columns;
  const std::int64_t count = std::min(block_columns, columns - j);
  if (b.transposed) {
    const float* from = b.data + j * b.stride + first;
    if (count == block_columns) {
      transpose<block_columns>(from, b.stride, depth, out);
    } else {
      transpose_some<block_columns>(from, b.stride, depth, count, out);
    }
    return;
  }
  const float* from = b.data + first * b.stride + j;
  if (count == block_columns) {
    for (std::int64_t k = 0; k < depth; ++k) {
      std::memcpy(out + k * block_columns, from + k * b.stride, block_columns * sizeof(float));
    }
    return;
  }
  std::fill(out, out + depth * block_columns, 0.0f);
  for (std::int64_t k = 0; k < depth; ++k) {
    for (std::int64_t c = 0; c < count; ++c) out[k * block_columns + c] = from[k * b.stride + c];
  }
}

void multiply(std::int64_t rows, std::int64_t columns, std::int64_t depth, const GemmOperand& a, const Right& b,
              float* c, std::int64_t stride_c, const Finish& finish, float* left) {
  const std::int64_t pieces = (depth + largest_depth - 1) / largest_depth;
  const std::int64_t piece = (depth + pieces - 1) / pieces;
  // Rows of a that are read in place: whole panels of a transposed matrix.
  const std::int64_t in_place = a.transposed && a.stride <= near_stride ? rows / block_rows * block_rows : 0;
  for (std::int64_t first = 0; first < depth; first += piece) {
    const std::int64_t length = std::min(piece, depth - first);
    const float* from = a.data + (a.transposed ? first * a.stride : first);
    if (in_place < rows) pack_left({from + in_place, a.stride, a.transposed}, rows - in_place, length, left);
    for (std::int64_t j = 0; j < columns; j += block_columns) {
      const Right right{b.data + j / block_columns * b.panel_stride + first * b.step, b.panel_stride, b.step};
      const Finish here{finish.accumulate || first > 0,
                        finish.bias != nullptr && first == 0 ? finish.bias + j : nullptr};
      for (std::int64_t i = 0; i < rows; i += block_rows) {
        float* out = c + i * stride_c + j;
        const Left panel = i < in_place ? Left{from + i, a.stride} : Left{left + (i - in_place) * length, block_rows};
        if (i + block_rows <= rows && j + block_columns <= columns) {
          block<block_rows>(length, panel, right, out, stride_c, here);
        } else {
          edge_block<block_rows>(length, panel, right, out, stride_c, here, std::min(block_rows, rows - i),
                                 std::min(block_columns, columns - j));
        }
      }
    }
  }
}

}  // namespace blocktrain::kernels::packed
