#pragma once
/// Sums down the columns of the rows of each sample, in an order fixed by the shape: rows are cut into groups, a block
/// adds up one group of rows for a stretch of columns, and a second kernel adds the groups in order.

#include "kernels/cuda/transform.cuh"
#include "kernels/cuda/workspace.hpp"

namespace blocktrain::kernels::cuda {

/// A block is this many columns (or packs of columns) wide, and warps_per_block rows high.
constexpr int tile_columns = warp_size;

/// Groups that the `rows` of each of `samples` samples are cut into: enough blocks for a large GPU, of 8 rows or more.
inline std::int64_t row_groups(std::int64_t samples, std::int64_t rows, std::int64_t column_tiles) {
  constexpr std::int64_t enough_blocks = 1024;
  const std::int64_t wanted = divide_up(enough_blocks, samples * column_tiles);
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
    for (std::int64_t r = begin + warp; r < end; r += warps_per_block) {
      if constexpr (Width == 1) {
        float one[Term::sums];
        term(n, n * rows + r, column, width, one);
#pragma unroll
        for (int s = 0; s < Term::sums; ++s) total[s][0] += one[s];
      } else {
        Lanes some[Term::sums];
        term.pack(n, n * rows + r, column, width, some);
#pragma unroll
        for (int s = 0; s < Term::sums; ++s) {
#pragma unroll
          for (int l = 0; l < Width; ++l) total[s][l] += some[s].value[l];
        }
      }
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

/// Of Term::sums terms for each element of `samples` samples of `rows` rows: term(n, row, column, width, out) for one
/// column, term.pack(..) for `lanes` of them where `packs`. Uses the workspace.
template <class Term, class Finish>
void column_sums(cudaStream_t stream, const Workspace& workspace, std::int64_t samples, std::int64_t rows,
                 std::int64_t width, bool packs, const Term& term, const Finish& finish) {
  if (samples * width == 0) return;
  const std::int64_t tiles = divide_up(width, tile_columns * (packs ? lanes : 1));
  std::int64_t groups = row_groups(samples, rows, tiles);
  groups = std::min(groups, static_cast<std::int64_t>(workspace.floats()) / (Term::sums * samples * width));
  BLOCKTRAIN_EXPECTS(groups >= 1 && samples <= 65535);
  const std::int64_t group_rows = divide_up(rows, groups);
  groups = divide_up(rows, group_rows);
  const dim3 grid(static_cast<unsigned>(tiles), static_cast<unsigned>(samples), static_cast<unsigned>(groups));
  float* const partial = workspace.data();
  if (packs) {
    launch({stream, grid}, column_partials_kernel<lanes, Term>, samples, rows, width, group_rows, term, partial);
  } else {
    launch({stream, grid}, column_partials_kernel<1, Term>, samples, rows, width, group_rows, term, partial);
  }
  launch({stream, blocks_for(samples * width, threads_per_block)}, column_finish_kernel<Term::sums, Finish>, samples,
         width, groups, partial, finish);
}

}  // namespace blocktrain::kernels::cuda
