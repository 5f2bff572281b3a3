#include "kernels/cpu/packed_gemm.hpp"

#include <algorithm>

namespace blocktrain::kernels::packed {
namespace {

/// Packs `rows` rows and `depth` columns of op(a) to panels of block_rows, each [depth][block_rows], zero-padded.
void pack_left(const GemmOperand& a, std::int64_t rows, std::int64_t depth, float* out) {
  for (std::int64_t i = 0; i < rows; i += block_rows, out += depth * block_rows) {
    const std::int64_t count = std::min(block_rows, rows - i);
    if (count < block_rows) std::fill(out, out + depth * block_rows, 0.0f);
    if (a.transposed) {
      const float* from = a.data + i;
      if (count == block_rows) {
        for (std::int64_t k = 0; k < depth; ++k) {
          for (std::int64_t r = 0; r < block_rows; ++r) out[k * block_rows + r] = from[k * a.stride + r];
        }
      } else {
        for (std::int64_t k = 0; k < depth; ++k) {
          for (std::int64_t r = 0; r < count; ++r) out[k * block_rows + r] = from[k * a.stride + r];
        }
      }
    } else {
      for (std::int64_t r = 0; r < count; ++r) {
        const float* from = a.data + (i + r) * a.stride;
        for (std::int64_t k = 0; k < depth; ++k) out[k * block_rows + r] = from[k];
      }
    }
  }
}

/// block_rows x block_columns of the output. a is packed, b is packed.
inline void block(std::int64_t depth, const float* a, const float* b, float* c, std::int64_t stride_c,
                  const Finish& finish) {
  constexpr int rows = static_cast<int>(block_rows);
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
    a += block_rows;
    b += block_columns;
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

/// A block at the edge of the output: computed in full aside, of which rows x columns are kept.
void edge_block(std::int64_t depth, const float* a, const float* b, float* c, std::int64_t stride_c,
                const Finish& finish, std::int64_t rows, std::int64_t columns) {
  float full[block_rows * block_columns];
  block(depth, a, b, full, block_columns, {false, nullptr});
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
  if (count < block_columns) std::fill(out, out + depth * block_columns, 0.0f);
  if (b.transposed) {
    // A few cache lines of every column at a time.
    constexpr std::int64_t run = 16;
    const float* from = b.data + j * b.stride + first;
    for (std::int64_t k = 0; k < depth; k += run) {
      const std::int64_t end = std::min(k + run, depth);
      for (std::int64_t q = k; q < end; ++q) {
        for (std::int64_t c = 0; c < count; ++c) out[q * block_columns + c] = from[c * b.stride + q];
      }
    }
  } else {
    const float* from = b.data + first * b.stride + j;
    for (std::int64_t k = 0; k < depth; ++k) {
      std::copy(from + k * b.stride, from + k * b.stride + count, out + k * block_columns);
    }
  }
}

void multiply(std::int64_t rows, std::int64_t columns, std::int64_t depth, const GemmOperand& a, const float* b,
              std::int64_t panel_stride, float* c, std::int64_t stride_c, const Finish& finish, float* left) {
  const std::int64_t pieces = (depth + largest_depth - 1) / largest_depth;
  const std::int64_t piece = (depth + pieces - 1) / pieces;
  for (std::int64_t first = 0; first < depth; first += piece) {
    const std::int64_t length = std::min(piece, depth - first);
    pack_left({a.data + (a.transposed ? first * a.stride : first), a.stride, a.transposed}, rows, length, left);
    for (std::int64_t j = 0; j < columns; j += block_columns) {
      const float* right = b + j / block_columns * panel_stride + first * block_columns;
      const Finish here{finish.accumulate || first > 0,
                        finish.bias != nullptr && first == 0 ? finish.bias + j : nullptr};
      for (std::int64_t i = 0; i < rows; i += block_rows) {
        float* out = c + i * stride_c + j;
        const float* panel = left + i * length;
        if (i + block_rows <= rows && j + block_columns <= columns) {
          block(length, panel, right, out, stride_c, here);
        } else {
          edge_block(length, panel, right, out, stride_c, here, std::min(block_rows, rows - i),
                     std::min(block_columns, columns - j));
        }
      }
    }
  }
}

}  // namespace blocktrain::kernels::packed
