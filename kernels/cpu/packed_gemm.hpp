#pragma once
/// The inside of gemm.hpp: operands copied ("packed") into the order in which the innermost loop reads them, and that
/// innermost loop, which holds a block of the output in registers (Goto and van de Geijn 2008, "Anatomy of
/// high-performance matrix multiplication").

#include <cstdint>

#include "kernels/cpu/float_vector.hpp"
#include "kernels/cpu/gemm.hpp"

namespace blocktrain::kernels::packed {

#ifdef __AVX512F__
inline constexpr std::int64_t block_rows = 12;
#else
inline constexpr std::int64_t block_rows = 6;
#endif
/// Columns of a block of the output: two registers.
inline constexpr std::int64_t block_columns = 2 * vector_lanes;
/// Depth of a packed piece of the left factor; with tile_rows rows it takes half of a core's second cache at most.
inline constexpr std::int64_t largest_depth = 384;
inline constexpr std::int64_t largest_tile_rows = 96;
/// Floats of the left factor's packed piece.
inline constexpr std::int64_t left_floats = largest_depth * largest_tile_rows;

constexpr std::int64_t panels(std::int64_t columns) { return (columns + block_columns - 1) / block_columns; }

/// Packs columns [block_columns * panel, ..) of the right factor's rows [first, first + depth) to
/// out[depth][block_columns]; columns beyond `columns` become 0.
void pack_right(const GemmOperand& b, std::int64_t columns, std::int64_t panel, std::int64_t first, std::int64_t depth,
                float* out);

/// What happens to the output besides the product.
struct Finish {
  bool accumulate;    ///< add to what is there
  const float* bias;  ///< of the output's first column, or null
};

/// A right factor whose rows come as runs of block_columns: element (k, j) of panel p is
/// data[p * panel_stride + k * step + j]. Packed: step is block_columns. A stored matrix may serve as it is.
struct Right {
  const float* data;
  std::int64_t panel_stride, step;
};

/// Rows of a stored matrix closer than this are read where they are: so near, they neither fall on the same cache lines
/// nor on a page each.
inline constexpr std::int64_t near_stride = 512;

/// c[rows, columns] = a b for rows <= largest_tile_rows. `left` is scratch of left_floats.
void multiply(std::int64_t rows, std::int64_t columns, std::int64_t depth, const GemmOperand& a, const Right& b,
              float* c, std::int64_t stride_c, const Finish& finish, float* left);

}  // namespace blocktrain::kernels::packed
