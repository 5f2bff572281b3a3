#pragma once
/// Sums down the columns of the rows of each sample, in an order fixed by the shape: rows are cut into groups, a block
/// adds up one group of rows for a stretch of columns, and a second kernel adds the groups in order.

#include "kernels/cuda/transform.cuh"
#include "kernels/cuda/workspace.hpp"

namespace blocktrain::kernels::cuda {

/// A block is this many columns (or packs of columns) wide, and warps_per_block rows high.
constexpr int tile_columns = warp_size;

/// Several rounds of blocks for a large GPU, so that the last of them, which does not fill it, counts for little.
constexpr std::int64_t enough_blocks = 4096;

/// Groups that the `rows` of each of `samples` samples are cut into: so many that there are about `blocks`,
/// of 8 rows or more.
inline std::int64_t row_groups(std::int64_t samples, std::int64_t rows, std::int64_t column_tiles,
                               std::int64_t blocks) {
  const std::int64_t wanted = divide_up(blocks, samples * column_tiles);
  return std::clamp<std::int64_t>(wanted, 1, divide_up(rows, warps_per_block));
}

/// partial[group][sum][sample][column]. Width: columns of a thread, lanes or 1.
template <int Width, class Term>
__global__ void __launch_bounds__(threads_per_block)
    column_partials_kernel(std::int64_t samples, std::int64_t rows, std::int64_t width, std::int64_t group_rows,
                           Term term, float* partial) {
  __shared__ float shared[Term::sums][warps_per_block][tile_columns][Width + (Width > 1 ? 1 : 0)];
  const int lane = threadIdx.x % warp_size, warp = threadIdx.x / warp_size;
  const std::int64_t column = (static_cast<std::int64_t>(blockIdx.x) * tile_columns + lane) * Width;
  const std::int64_t n = blockIdx.y, group = blockIdx.z;
  const std::int64_t begin = group * group_rows, end = min(begin + group_rows, rows);
  float total[Term::sums][Width] = {};
  if (column < width) {
    if constexpr (Width == 1) {
      for (std::int64_t r = begin + warp; r < end; r += warps_per_block) {
        float one[Term::sums];
        term(n, n * rows + r, column, width, one);
#pragma unroll
        for (int s = 0; s < Term::sums; ++s) total[s][0] += one[s];
      }
    } else {
      // Term::rows_at_once rows are asked for before any is used: a write of the term's might change what is read next,
      // for all the compiler knows.
      const auto own = term.of_column(n, column);
      const auto take = [&](std::int64_t r, const auto& loaded) {
        Lanes some[Term::sums];
        term.pack(n * rows + r, column, width, own, loaded, some);
#pragma unroll
        for (int s = 0; s < Term::sums; ++s) {
#pragma unroll
          for (int l = 0; l < Width; ++l) total[s][l] += some[s].value[l];
        }
      };
      constexpr int ahead = Term::rows_at_once;
      std::int64_t r = begin + warp;
#pragma unroll 1
      for (; r + (ahead - 1) * warps_per_block < end; r += ahead * warps_per_block) {
        decltype(term.load(r, column, width)) loaded[ahead];
#pragma unroll
        for (int a = 0; a < ahead; ++a) loaded[a] = term.load(n * rows + r + a * warps_per_block, column, width);
#pragma unroll
        for (int a = 0; a < ahead; ++a) take(r + a * warps_per_block, loaded[a]);
      }
#pragma unroll 1
      for (; r < end; r += warps_per_block) take(r, term.load(n * rows + r, column, width));
    }
  }
#pragma unroll
  for (int s = 0; s < Term::sums; ++s) {
#pragma unroll
    for (int l = 0; l < Width; ++l) shared[s][warp][lane][l] = total[s][l];
  }
  __syncthreads();
  for (int i = threadIdx.x; i < Term::sums * tile_columns * Width; i += threads_per_block) {
    const int s = i / (tile_columns * Width), c = i % (tile_columns * Width);
    float sum = 0;
    for (int w = 0; w < warps_per_block; ++w) sum += shared[s][w][c / Width][c % Width];
    const std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * tile_columns * Width + c;
    if (at < width) partial[((group * Term::sums + s) * samples + n) * width + at] = sum;
  }
}

/// finish(sample, column, sums) for every column of every sample.
template <int Sums, class Finish>
__global__ void __launch_bounds__(threads_per_block)
    column_finish_kernel(std::int64_t samples, std::int64_t width, std::int64_t groups, const float* partial,
                         Finish finish) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * threads_per_block;
  const std::int64_t size = samples * width;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * threads_per_block + threadIdx.x; i < size; i += step) {
    float sum[Sums] = {};
    for (std::int64_t g = 0; g < groups; ++g) {
#pragma unroll
      for (int s = 0; s < Sums; ++s) sum[s] += partial[(g * Sums + s) * size + i];
    }
    finish(i / width, i % width, sum);
  }
}

/// The same for few columns and many groups, which one thread after the other would be long about: the warps of a block
/// share the groups of its columns.
template <int Sums, class Finish>
__global__ void __launch_bounds__(threads_per_block)
    tall_column_finish_kernel(std::int64_t samples, std::int64_t width, std::int64_t groups, const float* partial,
                              Finish finish) {
  __shared__ float shared[warps_per_block][Sums][warp_size];
  const int lane = threadIdx.x % warp_size, warp = threadIdx.x / warp_size;
  const std::int64_t size = samples * width, i = static_cast<std::int64_t>(blockIdx.x) * warp_size + lane;
  float sum[Sums] = {};
  if (i < size) {
#pragma unroll 8
    for (std::int64_t g = warp; g < groups; g += warps_per_block) {
#pragma unroll
      for (int s = 0; s < Sums; ++s) sum[s] += partial[(g * Sums + s) * size + i];
    }
  }
#pragma unroll
  for (int s = 0; s < Sums; ++s) shared[warp][s][lane] = sum[s];
  __syncthreads();
  if (warp > 0 || i >= size) return;
#pragma unroll
  for (int s = 0; s < Sums; ++s) {
    for (int w = 1; w < warps_per_block; ++w) sum[s] += shared[w][s][lane];
  }
  finish(i / width, i % width, sum);
}

/// Adds up partial[group][Sums][sample][column] and calls finish(sample, column, sums).
template <int Sums, class Finish>
void finish_columns(cudaStream_t stream, std::int64_t samples, std::int64_t width, std::int64_t groups,
                    const float* partial, const Finish& finish) {
  constexpr std::int64_t many = 4 * warps_per_block;
  const std::int64_t size = samples * width, tall_blocks = divide_up(size, warp_size);
  if (groups >= many && tall_blocks <= 1 << 20) {
    launch({stream, static_cast<unsigned>(tall_blocks)}, tall_column_finish_kernel<Sums, Finish>, samples, width,
           groups, partial, finish);
  } else {
    launch({stream, blocks_for(size, threads_per_block)}, column_finish_kernel<Sums, Finish>, samples, width, groups,
           partial, finish);
  }
}

/// Of Term::sums terms for each element of `samples` samples of `rows` rows: term(n, row, column, width, out) for one
/// column. Where `packs`, for `lanes` columns: term.of_column(n, column) is what all rows share, term.load(row, column,
/// width) what is read for one, and term.pack(row, column, width, shared, loaded, out) its terms. Uses the workspace.
template <class Term, class Finish>
void column_sums(cudaStream_t stream, const Workspace& workspace, std::int64_t samples, std::int64_t rows,
                 std::int64_t width, bool packs, const Term& term, const Finish& finish) {
  if (samples * width == 0) return;
  const std::int64_t tiles = divide_up(width, tile_columns * (packs ? lanes : 1));
  std::int64_t groups = row_groups(samples, rows, tiles, enough_blocks);
  groups = std::min(groups, static_cast<std::int64_t>(workspace.floats()) / (Term::sums * samples * width));
  BLOCKTRAIN_EXPECTS(groups >= 1 && samples <= 65535 && (!packs || Term::rows_at_once > 0));
  const std::int64_t group_rows = divide_up(rows, groups);
  groups = divide_up(rows, group_rows);
  const dim3 grid(static_cast<unsigned>(tiles), static_cast<unsigned>(samples), static_cast<unsigned>(groups));
  float* const partial = workspace.data();
  if (!packs) {
    launch({stream, grid}, column_partials_kernel<1, Term>, samples, rows, width, group_rows, term, partial);
  } else if constexpr (Term::rows_at_once > 0) {
    launch({stream, grid}, column_partials_kernel<lanes, Term>, samples, rows, width, group_rows, term, partial);
  }
  finish_columns<Term::sums>(stream, samples, width, groups, partial, finish);
}

}  // namespace blocktrain::kernels::cuda
