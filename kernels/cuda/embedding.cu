#include <cmath>

#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/stable_sort.cuh"

namespace blocktrain::kernels {
using namespace cuda;
namespace {

/// Where a row of a listed place comes from.
struct Indices {
  const std::int32_t* index;
  const std::int32_t* rows;  ///< null: all
  std::int64_t count, table_rows;
  std::int32_t ignored;
  /// The m-th row that is computed; -1: one that is not there.
  __device__ std::int64_t row(std::int64_t m) const {
    if (rows == nullptr) return m;
    return rows[m] >= 0 && rows[m] < count ? rows[m] : -1;
  }
  /// Whether the index of row n is one of the table's.
  __device__ bool inside(std::int64_t n) const { return index[n] >= 0 && index[n] < table_rows && index[n] != ignored; }
};

template <class T>
void gather(cudaStream_t stream, const Tensor& out, const Tensor& table, const Indices& indices, std::int64_t count) {
  T* const to = pointer<T>(out);
  const T* const from = pointer<T>(table);
  const std::int64_t width = table.row_size();
  each(stream, count * width, [=] __device__(std::int64_t i) {
    const std::int64_t n = indices.row(i / width), c = i % width;
    if (n < 0) return;
    // Outside the table: what shows that the step is wrong.
    to[n * width + c] = indices.inside(n) ? from[indices.index[n] * width + c]
                                          : from_float<T>(indices.index[n] == indices.ignored ? 0.0f : NAN);
  });
}

/// dtable[v] += rows of dout whose index is v = blockIdx.x, in their order. A block first collects the samples of its
/// row, in order, threads_per_block indices at a time; the threads then have a column each.
template <class T>
__global__ void __launch_bounds__(threads_per_block)
    scatter_kernel(std::int64_t count, std::int64_t width, float* dtable, const T* dout, Indices indices) {
  __shared__ unsigned found[warps_per_block];
  __shared__ std::int64_t list[threads_per_block];
  const int lane = threadIdx.x % warp_size, warp = threadIdx.x / warp_size;
  const auto row = static_cast<std::int32_t>(blockIdx.x);
  if (row == indices.ignored) return;
  for (std::int64_t first = 0; first < count; first += threads_per_block) {
    const std::int64_t m = first + threadIdx.x, n = m < count ? indices.row(m) : -1;
    const bool mine = n >= 0 && indices.index[n] == row;
    const unsigned of_warp = __ballot_sync(whole_warp, mine);
    if (lane == 0) found[warp] = of_warp;
    __syncthreads();
    int before = __popc(of_warp & ((1u << lane) - 1)), all = 0;
    for (int w = 0; w < warps_per_block; ++w) {
      const int own = __popc(found[w]);
      before += w < warp ? own : 0;
      all += own;
    }
    if (mine) list[before] = n;
    __syncthreads();
    if (all == 0) continue;
    for (std::int64_t c = threadIdx.x; c < width; c += threads_per_block) {
      float sum = dtable[row * width + c];
#pragma unroll 4
      for (int i = 0; i < all; ++i) sum += to_float(dout[list[i] * width + c]);
      dtable[row * width + c] = sum;
    }
    __syncthreads();  // before the list changes
  }
}

/// Rows of one index that are added one after the other; of more, the sums of so many each.
constexpr std::int64_t piece_rows = 512;
static_assert(piece_rows % threads_per_block == 0);

/// What the kernels below know: rows of dout sorted by index, stably, so that those of an index are neighbours in the
/// order of the list. Columns [first_column, first_column + columns) are summed, and long indices leave sums of pieces.
template <class T>
struct Sorted {
  std::int64_t count, width, first_column, columns;
  const std::uint32_t *key, *row;
  std::uint32_t table_rows;  ///< this key and those above belong to no row of the table
  float* dtable;
  const T* dout;
  float* partial;  ///< [2 * pieces_of(count)][columns]

  __device__ bool begins(std::int64_t i) const { return i == 0 || key[i] != key[i - 1]; }
  /// Whether the key that begins at i has more than a piece.
  __device__ bool is_long(std::int64_t i) const { return i + piece_rows < count && key[i + piece_rows] == key[i]; }
  /// Where the key of i begins.
  __device__ std::int64_t begin_of(std::int64_t i) const {
    std::int64_t low = 0, high = i;
    while (low < high) {
      const std::int64_t middle = (low + high) / 2;
      if (key[middle] < key[i]) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }
  /// Room for the sum of the piece of a long key that begins at i. Of piece_rows neighbours at most one is where a long
  /// key begins, and at most one where another piece of one does.
  __device__ float* sum_of(std::int64_t i, bool first) const {
    return partial + (2 * (i / piece_rows) + (first ? 1 : 0)) * columns;
  }
};

/// A block has threads_per_block places: it finds the pieces that begin there, and its threads sum a column each.
template <class T>
__global__ void __launch_bounds__(threads_per_block) piece_kernel(Sorted<T> s) {
  __shared__ bool begins[threads_per_block], of_long[threads_per_block], is_first[threads_per_block];
  const std::int64_t from = static_cast<std::int64_t>(blockIdx.x) * threads_per_block, own = from + threadIdx.x;
  begins[threadIdx.x] = false;
  if (own < s.count && s.key[own] < s.table_rows) {
    const bool first = s.begins(own);
    const std::int64_t begin = first ? own : s.begin_of(own);
    begins[threadIdx.x] = (own - begin) % piece_rows == 0;
    of_long[threadIdx.x] = s.is_long(begin);
    is_first[threadIdx.x] = first;
  }
  __syncthreads();
  for (int p = 0; p < threads_per_block; ++p) {
    if (!begins[p]) continue;
    const std::int64_t begin = from + p, most = min(begin + piece_rows, s.count);
    const std::uint32_t key = s.key[begin];
    for (std::int64_t c = threadIdx.x; c < s.columns; c += threads_per_block) {
      float* const row = s.dtable + key * s.width + s.first_column + c;
      float sum = of_long[p] ? 0.0f : *row;
      for (std::int64_t i = begin; i < most && s.key[i] == key; ++i) {
        sum += to_float(s.dout[s.row[i] * s.width + s.first_column + c]);
      }
      if (of_long[p]) {
        s.sum_of(begin, is_first[p])[c] = sum;
      } else {
        *row = sum;
      }
    }
  }
}

/// A block has piece_rows places, in which one long key begins, or none: it adds the sums of its pieces, in order.
template <class T>
__global__ void __launch_bounds__(threads_per_block) finish_kernel(Sorted<T> s) {
  __shared__ std::int64_t found;
  if (threadIdx.x == 0) found = -1;
  __syncthreads();
  const std::int64_t from = static_cast<std::int64_t>(blockIdx.x) * piece_rows;
  for (std::int64_t i = from + threadIdx.x; i < min(from + piece_rows, s.count); i += threads_per_block) {
    if (s.key[i] < s.table_rows && s.begins(i) && s.is_long(i)) found = i;
  }
  __syncthreads();
  if (found < 0) return;
  const std::uint32_t key = s.key[found];
  for (std::int64_t c = threadIdx.x; c < s.columns; c += threads_per_block) {
    float* const row = s.dtable + key * s.width + s.first_column + c;
    float sum = *row;
    for (std::int64_t i = found; i < s.count && s.key[i] == key; i += piece_rows) sum += s.sum_of(i, i == found)[c];
    *row = sum;
  }
}

/// Rows sorted at a time, so that what that takes fits the workspace; the order of the sums goes on behind.
constexpr std::int64_t most_sorted = std::int64_t{1} << 20;

template <class T>
void scatter(cudaStream_t stream, const Workspace& workspace, const Tensor& dtable, const Tensor& dout,
             const Indices& indices, std::int64_t count) {
  if (dtable.size() == 0 || count == 0) return;
  const std::int64_t width = dtable.row_size();
  // A few rows of a small table: each block looks at all of them, in one launch.
  if (count <= piece_rows && dtable.dim(0) * divide_up(count, threads_per_block) <= 4096) {
    launch({stream, static_cast<unsigned>(dtable.dim(0))}, scatter_kernel<T>, count, width, pointer<float>(dtable),
           pointer<T>(dout), indices);
    return;
  }
  for (std::int64_t begin = 0; begin < count; begin += most_sorted) {
    const std::int64_t some = std::min(most_sorted, count - begin);
    StableSort sort(workspace, some, static_cast<std::uint32_t>(indices.table_rows));
    std::uint32_t *const keys = sort.keys(), *const rows = sort.values();
    each(stream, some, [=] __device__(std::int64_t i) {
      const std::int64_t n = indices.row(begin + i);
      keys[i] = static_cast<std::uint32_t>(n >= 0 && indices.inside(n) ? indices.index[n] : indices.table_rows);
      rows[i] = static_cast<std::uint32_t>(n);
    });
    sort.run(stream);
    const std::int64_t pieces = 2 * divide_up(some, piece_rows);
    const std::int64_t columns = std::min(width, sort.floats_left() / pieces);
    BLOCKTRAIN_EXPECTS(columns >= 1);
    for (std::int64_t c = 0; c < width; c += columns) {
      const Sorted<T> sorted{some,
                             width,
                             c,
                             std::min(columns, width - c),
                             sort.keys(),
                             sort.values(),
                             static_cast<std::uint32_t>(indices.table_rows),
                             pointer<float>(dtable),
                             pointer<T>(dout),
                             sort.rest()};
      launch({stream, static_cast<unsigned>(divide_up(some, threads_per_block))}, piece_kernel<T>, sorted);
      launch({stream, static_cast<unsigned>(divide_up(some, piece_rows))}, finish_kernel<T>, sorted);
    }
  }
}

template <class T>
void features(cudaStream_t stream, const Tensor& out, const Tensor& sigma) {
  T* const to = pointer<T>(out);
  const float* const levels = pointer<float>(sigma);
  const std::int64_t half = out.dim(1) / 2;
  each(stream, out.dim(0) * half, [=] __device__(std::int64_t i) {
    const std::int64_t n = i / half, f = i % half;
    // Angles reach hundreds of radians: double, until reduced.
    const double frequency = 100 * pow(10000.0, -static_cast<double>(f) / static_cast<double>(half));
    double sine, cosine;
    sincos(frequency * log(static_cast<double>(levels[n])) / 4, &sine, &cosine);
    to[n * 2 * half + f] = from_float<T>(static_cast<float>(cosine));
    to[n * 2 * half + half + f] = from_float<T>(static_cast<float>(sine));
  });
}

}  // namespace

void CudaBackend::embedding_forward(const Tensor& out, const Tensor& table, const Tensor& index, const Tensor& rows,
                                    std::int32_t ignored) {
  const Indices indices{pointer<std::int32_t>(index), pointer_or_null<std::int32_t>(rows), index.size(), table.dim(0),
                        ignored};
  with_stored_type(out.dtype, [&](auto type) {
    gather<decltype(type)>(stream_, out, table, indices, (rows.empty() ? index : rows).size());
  });
}

void CudaBackend::embedding_backward(const Tensor& dtable, const Tensor& dout, const Tensor& index, const Tensor& rows,
                                     std::int32_t ignored) {
  const Indices indices{pointer<std::int32_t>(index), pointer_or_null<std::int32_t>(rows), index.size(), dtable.dim(0),
                        ignored};
  with_stored_type(dout.dtype, [&](auto type) {
    scatter<decltype(type)>(stream_, workspace_, dtable, dout, indices, (rows.empty() ? index : rows).size());
  });
}

void CudaBackend::noise_features(const Tensor& out, const Tensor& sigma) {
  with_stored_type(out.dtype, [&](auto type) { features<decltype(type)>(stream_, out, sigma); });
}

}  // namespace blocktrain::kernels
