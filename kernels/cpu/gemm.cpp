#include "kernels/cpu/gemm.hpp"

#include <algorithm>

#include "kernels/cpu/activations.hpp"
#include "kernels/cpu/packed_gemm.hpp"
#include "kernels/cpu/parallel.hpp"
#include "kernels/error.hpp"

namespace blocktrain::kernels {
namespace {

constexpr std::int64_t divide_up(std::int64_t n, std::int64_t unit) { return (n + unit - 1) / unit; }
constexpr auto shared_floats = static_cast<std::int64_t>(Workspace::shared_floats);

/// op(a) from row i and depth k on.
GemmOperand left_from(const GemmOperand& a, std::int64_t i, std::int64_t k) {
  return {a.data + (a.transposed ? k * a.stride + i : i * a.stride + k), a.stride, a.transposed};
}
/// op(b) from depth k and column j on.
GemmOperand right_from(const GemmOperand& b, std::int64_t k, std::int64_t j) {
  return {b.data + (b.transposed ? j * b.stride + k : k * b.stride + j), b.stride, b.transposed};
}

/// Tiles of an output: at most largest_tile_rows down; smaller, and cut across, until there are enough for many
/// threads.
struct Tiling {
  std::int64_t rows, panels, down, across;
  Tiling(std::int64_t m, std::int64_t n) : rows(packed::largest_tile_rows), panels(packed::panels(n)) {
    constexpr std::int64_t enough = 16;
    count(m, n);
    // Half a tile down, then narrower ones: a tile packs its rows of the left factor for itself.
    if (down * across < enough) rows = divide_up(rows, 2 * packed::block_rows) * packed::block_rows;
    count(m, n);
    while (down * across < enough && panels > 2) {
      panels = divide_up(panels, 2);
      count(m, n);
    }
  }
  void count(std::int64_t m, std::int64_t n) {
    down = divide_up(m, rows);
    across = divide_up(packed::panels(n), panels);
  }
};

/// The elementwise end of c[rows, columns] whose first element is `offset` elements into the output.
void finish_tile(const GemmFinish& finish, float* c, std::int64_t offset, std::int64_t rows, std::int64_t columns,
                 std::int64_t stride) {
  for (std::int64_t r = 0; r < rows && finish.gelu != nullptr; ++r) {
    const float* in = c + offset + r * stride;
    float* out = finish.gelu + offset + r * stride;
#pragma omp simd
    for (std::int64_t j = 0; j < columns; ++j) out[j] = gelu(in[j]);
  }
  for (std::int64_t r = 0; r < rows && finish.factor != nullptr; ++r) {
    float* out = c + offset + r * stride;
    const float* factor = finish.factor + offset + r * stride;
#pragma omp simd
    for (std::int64_t j = 0; j < columns; ++j) out[j] *= factor[j];
  }
}

/// A small output of a long reduction: the depth is cut into pieces fixed by the shape, whose partial sums are added in
/// order. Each piece packs both factors for itself.
void reduce(int threads, const Workspace& workspace, std::int64_t rows, std::int64_t columns, std::int64_t depth,
            std::int64_t pieces, const GemmOperand& a, const GemmOperand& b, float* c, std::int64_t stride_c,
            const GemmFinish& finish) {
  const std::int64_t piece = divide_up(depth, pieces), size = rows * columns;
  float* partial = workspace.shared();
  parallel_for(threads, pieces, [&](std::int64_t p, int thread) {
    const std::int64_t first = p * piece, length = std::min(piece, depth - first);
    float* left = workspace.thread(thread);
    const std::int64_t panels = packed::panels(columns), panel_stride = length * packed::block_columns;
    packed::Right right{left + packed::left_floats, panel_stride, packed::block_columns};
    if (!b.transposed && b.stride <= packed::near_stride && columns % packed::block_columns == 0) {
      right = {right_from(b, first, 0).data, packed::block_columns, b.stride};
    } else {
      for (std::int64_t j = 0; j < panels; ++j) {
        packed::pack_right(b, columns, j, first, length, left + packed::left_floats + j * panel_stride);
      }
    }
    for (std::int64_t i = 0; i < rows; i += packed::largest_tile_rows) {
      packed::multiply(std::min(packed::largest_tile_rows, rows - i), columns, length, left_from(a, i, first), right,
                       partial + p * size + i * columns, columns, {false, nullptr}, left);
    }
  });
  parallel_ranges(threads, rows, rows_per_piece(columns * pieces), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      float* out = c + r * stride_c;
      for (std::int64_t j = 0; j < columns; ++j) {
        out[j] = (finish.accumulate ? out[j] : 0.0f) + (finish.bias != nullptr ? finish.bias[j] : 0.0f);
      }
      for (std::int64_t p = 0; p < pieces; ++p) {
        const float* in = partial + p * size + r * columns;
        for (std::int64_t j = 0; j < columns; ++j) out[j] += in[j];
      }
    }
    finish_tile(finish, c, begin * stride_c, end - begin, columns, stride_c);
  });
}

}  // namespace

void gemm(int threads, const Workspace& workspace, std::int64_t rows, std::int64_t columns, std::int64_t depth,
          const GemmOperand& a, const GemmOperand& b, float* c, std::int64_t stride_c, const GemmFinish& finish) {
  BLOCKTRAIN_EXPECTS(rows >= 1 && columns >= 1 && depth >= 1);
  const std::int64_t size = rows * columns;
  if (size <= 128 * 512 && depth >= 1024) {
    const std::int64_t pieces = std::min({std::int64_t{16}, depth / 256, shared_floats / size});
    // A thread packs its piece of the right factor whole; a very long one does not fit its scratch.
    const std::int64_t packed_right = packed::panels(columns) * packed::block_columns * divide_up(depth, pieces);
    if (packed::left_floats + packed_right <= static_cast<std::int64_t>(Workspace::thread_floats)) {
      return reduce(threads, workspace, rows, columns, depth, pieces, a, b, c, stride_c, finish);
    }
  }
  // The right factor is packed once for all tiles, as much of it at a time as the shared scratch holds.
  constexpr std::int64_t longest = 768;
  const std::int64_t piece = divide_up(depth, divide_up(depth, longest));
  const std::int64_t panels = packed::panels(columns), panel_stride = piece * packed::block_columns;
  const std::int64_t held = std::min(panels, shared_floats / panel_stride);
  for (std::int64_t first = 0; first < depth; first += piece) {
    const std::int64_t length = std::min(piece, depth - first);
    for (std::int64_t panel = 0; panel < panels; panel += held) {
      const std::int64_t here = std::min(held, panels - panel), j = panel * packed::block_columns;
      const std::int64_t width = std::min(here * packed::block_columns, columns - j);
      const GemmOperand right = right_from(b, first, j);
      float* packed_right = workspace.shared();
      parallel_ranges(threads, here, divide_up(here, 16), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t p = begin; p < end; ++p) {
          packed::pack_right(right, width, p, 0, length, packed_right + p * panel_stride);
        }
      });
      const Tiling tiles(rows, width);
      const bool accumulate = finish.accumulate || first > 0, last = first + length == depth;
      const float* bias = first == 0 ? finish.bias : nullptr;
      parallel_for(threads, tiles.down * tiles.across, [&](std::int64_t tile, int thread) {
        const std::int64_t i = tile / tiles.across * tiles.rows, p = tile % tiles.across * tiles.panels;
        const std::int64_t q = p * packed::block_columns;
        const std::int64_t height = std::min(tiles.rows, rows - i), offset = i * stride_c + j + q;
        const std::int64_t breadth = std::min(tiles.panels * packed::block_columns, width - q);
        packed::multiply(height, breadth, length, left_from(a, i, first),
                         {packed_right + p * panel_stride, panel_stride, packed::block_columns}, c + offset, stride_c,
                         {accumulate, bias != nullptr ? bias + j + q : nullptr}, workspace.thread(thread));
        if (last) finish_tile(finish, c, offset, height, breadth, stride_c);
      });
    }
  }
}

}  // namespace blocktrain::kernels
