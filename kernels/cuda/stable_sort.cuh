#pragma once
/// Pairs of a key and a value sorted by their keys, those of one key in the order they had: by the digits of the keys,
/// the lowest first, each pass a counting sort. No atomics, so that what comes out is fixed by what goes in.

#include <bit>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/workspace.hpp"

namespace blocktrain::kernels::cuda {

constexpr int digit_bits = 8, digits = 1 << digit_bits;
static_assert(digits == threads_per_block);  // a thread has a digit
/// Pairs of a block.
constexpr std::int64_t sort_tile = 16 * threads_per_block;

/// Walks the pairs of a block's tile in order, threads_per_block at a time, and calls use(i, digit, place) with the
/// place of each behind `start`, which holds a place for every digit and moves on. Without places: counts alone.
template <class Use>
__device__ void walk_tile(std::int64_t count, const std::uint32_t* key, int shift, std::uint32_t (&start)[digits],
                          Use use) {
  __shared__ std::uint32_t of_warp[warps_per_block][digits];
  const int lane = threadIdx.x % warp_size, warp = threadIdx.x / warp_size;
  const std::int64_t begin = static_cast<std::int64_t>(blockIdx.x) * sort_tile;
  for (std::int64_t first = begin; first < min(begin + sort_tile, count); first += threads_per_block) {
    for (int w = 0; w < warps_per_block; ++w) of_warp[w][threadIdx.x] = 0;
    __syncthreads();
    const std::int64_t i = first + threadIdx.x;
    const bool inside = i < count;
    const unsigned digit = inside ? key[i] >> shift & (digits - 1) : 0;
    unsigned alike = __ballot_sync(whole_warp, inside);  // lanes with the same digit
    for (int bit = 0; bit < digit_bits; ++bit) {
      const unsigned set = __ballot_sync(whole_warp, (digit >> bit & 1u) != 0);
      alike &= (digit >> bit & 1u) != 0 ? set : ~set;
    }
    const unsigned before = alike & ((1u << lane) - 1);
    if (inside && before == 0) of_warp[warp][digit] = static_cast<std::uint32_t>(__popc(alike));
    __syncthreads();
    std::uint32_t next = start[threadIdx.x];
    for (int w = 0; w < warps_per_block; ++w) {
      const std::uint32_t own = of_warp[w][threadIdx.x];
      of_warp[w][threadIdx.x] = next;
      next += own;
    }
    start[threadIdx.x] = next;
    __syncthreads();
    if (inside) use(i, of_warp[warp][digit] + static_cast<std::uint32_t>(__popc(before)));
    __syncthreads();  // before the counts change
  }
}

/// counts[digit][block] = how many pairs of the block's tile have it.
static __global__ void __launch_bounds__(threads_per_block)
    digit_count_kernel(std::int64_t count, const std::uint32_t* key, int shift, std::uint32_t* counts) {
  __shared__ std::uint32_t start[digits];
  start[threadIdx.x] = 0;
  __syncthreads();
  walk_tile(count, key, shift, start, [](std::int64_t, std::uint32_t) {});
  __syncthreads();
  counts[static_cast<std::int64_t>(threadIdx.x) * gridDim.x + blockIdx.x] = start[threadIdx.x];
}

/// counts become sums of all that stand before them. One block; a thread has a digit.
static __global__ void __launch_bounds__(threads_per_block)
    digit_scan_kernel(std::int64_t blocks, std::uint32_t* counts) {
  __shared__ std::uint32_t totals[digits];
  std::uint32_t* const own = counts + threadIdx.x * blocks;
  std::uint32_t total = 0;
  for (std::int64_t b = 0; b < blocks; ++b) total += own[b];
  totals[threadIdx.x] = total;
  __syncthreads();
  std::uint32_t next = 0;
  for (unsigned d = 0; d < threadIdx.x; ++d) next += totals[d];
  for (std::int64_t b = 0; b < blocks; ++b) {
    const std::uint32_t here = own[b];
    own[b] = next;
    next += here;
  }
}

static __global__ void __launch_bounds__(threads_per_block)
    digit_scatter_kernel(std::int64_t count, const std::uint32_t* key, const std::uint32_t* value, int shift,
                         const std::uint32_t* counts, std::uint32_t* key_out, std::uint32_t* value_out) {
  __shared__ std::uint32_t start[digits];
  start[threadIdx.x] = counts[static_cast<std::int64_t>(threadIdx.x) * gridDim.x + blockIdx.x];
  __syncthreads();
  walk_tile(count, key, shift, start, [=](std::int64_t i, std::uint32_t place) {
    key_out[place] = key[i];
    value_out[place] = value[i];
  });
}

/// A sort of `count` pairs with keys up to `largest`, in the workspace: fill keys() and values(), run(), and read them
/// where they then are.
class StableSort {
 public:
  StableSort(const Workspace& workspace, std::int64_t count, std::uint32_t largest)
      : count_(count), blocks_(divide_up(count, sort_tile)), bits_(std::bit_width(largest)) {
    // Each begins at a multiple of 16 bytes.
    const std::int64_t room = divide_up(count, 4) * 4;
    keys_ = reinterpret_cast<std::uint32_t*>(workspace.data());
    values_ = keys_ + room;
    other_keys_ = values_ + room;
    other_values_ = other_keys_ + room;
    counts_ = other_values_ + room;
    rest_ = reinterpret_cast<float*>(counts_ + blocks_ * digits);
    floats_left_ = static_cast<std::int64_t>(workspace.floats()) - (rest_ - workspace.data());
    BLOCKTRAIN_EXPECTS(floats_left_ > 0);
  }
  std::uint32_t* keys() const { return keys_; }
  std::uint32_t* values() const { return values_; }
  /// What of the workspace is left.
  float* rest() const { return rest_; }
  std::int64_t floats_left() const { return floats_left_; }

  void run(cudaStream_t stream) {
    const unsigned blocks = static_cast<unsigned>(blocks_);
    for (int shift = 0; shift < bits_; shift += digit_bits) {
      launch({stream, blocks}, digit_count_kernel, count_, keys_, shift, counts_);
      launch({stream, 1}, digit_scan_kernel, blocks_, counts_);
      launch({stream, blocks}, digit_scatter_kernel, count_, keys_, values_, shift, counts_, other_keys_,
             other_values_);
      std::swap(keys_, other_keys_);
      std::swap(values_, other_values_);
    }
  }

 private:
  std::int64_t count_, blocks_;
  int bits_;
  std::uint32_t *keys_, *values_, *other_keys_, *other_values_, *counts_;
  float* rest_;
  std::int64_t floats_left_;
};

}  // namespace blocktrain::kernels::cuda
