#include <cmath>

#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/launch.cuh"
#include "kernels/mask_levels.hpp"

namespace blocktrain::kernels {
using namespace cuda;
namespace {

/// A block has a chunk of a sample. Its positions stand in the order of their words, those of one word in the order of
/// their places; the first m are masked. Halving finds the last of them: some log2(chunk) counts, for no two stand at
/// one place. The words lie where their tokens go.
__global__ void __launch_bounds__(threads_per_block)
    mask_kernel(std::int64_t chunk, std::int64_t chunks, std::int32_t* noisy, const std::int32_t* tokens,
                const float* level, std::int32_t mask, RandomKey key, const StepState* state,
                std::uint32_t first_sample) {
  __shared__ double sums[warps_per_block];
  __shared__ std::int64_t counted;
  const std::int64_t own = blockIdx.x, begin = own * chunk, first = own % chunks * chunk;
  const auto sample = first_sample + static_cast<std::uint32_t>(own / chunks);
  const std::int64_t m = masked_tokens(static_cast<double>(level[own]), chunk);
  for (std::int64_t t = threadIdx.x; t < chunk; t += threads_per_block) {
    const std::int64_t position = first + t;
    const auto words = random_words(key, state->step, sample, static_cast<std::uint32_t>(position / 4));
    noisy[begin + t] = static_cast<std::int32_t>(words[static_cast<std::size_t>(position % 4)]);
  }
  const auto order_of = [=](std::int64_t t) {
    return std::uint64_t{static_cast<std::uint32_t>(noisy[begin + t])} << 32 | static_cast<std::uint64_t>(t);
  };
  std::uint64_t low = 0, high = ~std::uint64_t{0};
  while (low < high && m > 0 && m < chunk) {
    const std::uint64_t middle = low + (high - low) / 2;
    double up_to = 0;
    for (std::int64_t t = threadIdx.x; t < chunk; t += threads_per_block) up_to += order_of(t) <= middle ? 1 : 0;
    up_to = block_sum(up_to, sums);
    if (threadIdx.x == 0) counted = static_cast<std::int64_t>(up_to);
    __syncthreads();
    const std::int64_t found = counted;
    if (found < m) {
      low = middle + 1;
    } else {
      high = middle;
    }
    if (found == m) break;
  }
  for (std::int64_t t = threadIdx.x; t < chunk; t += threads_per_block) {
    noisy[begin + t] = m > 0 && order_of(t) <= high ? mask : tokens[begin + t];
  }
}

/// Tokens of a block when they are listed.
constexpr std::int64_t list_tile = 16 * threads_per_block;

/// counts[block] = masked tokens of its tile.
__global__ void __launch_bounds__(threads_per_block)
    count_masked_kernel(std::int64_t size, std::int32_t* counts, const std::int32_t* noisy, std::int32_t mask) {
  __shared__ double sums[warps_per_block];
  const std::int64_t begin = static_cast<std::int64_t>(blockIdx.x) * list_tile;
  double own = 0;
  for (std::int64_t i = begin + threadIdx.x; i < min(begin + list_tile, size); i += threads_per_block) {
    own += noisy[i] == mask ? 1 : 0;
  }
  own = block_sum(own, sums);
  if (threadIdx.x == 0) counts[blockIdx.x] = static_cast<std::int32_t>(own);
}

struct MaskedList {
  std::int64_t room;
  std::int32_t *rows, *labels;
  float* weights;
  std::int32_t* places;
};

/// A block lists the masked tokens of its tile behind those of the tiles before it.
__global__ void __launch_bounds__(threads_per_block)
    list_masked_kernel(std::int64_t size, std::int64_t chunk, std::int64_t chunks, MaskedList list,
                       const std::int32_t* counts, const std::int32_t* noisy, const std::int32_t* tokens,
                       const float* level, std::int32_t mask) {
  __shared__ double sums[warps_per_block];
  __shared__ std::int64_t start;
  __shared__ unsigned found[warps_per_block];
  double earlier = 0;
  for (unsigned b = threadIdx.x; b < blockIdx.x; b += threads_per_block) earlier += counts[b];
  earlier = block_sum(earlier, sums);
  if (threadIdx.x == 0) start = static_cast<std::int64_t>(earlier);
  __syncthreads();
  std::int64_t next = start;
  const int lane = threadIdx.x % warp_size, warp = threadIdx.x / warp_size;
  const std::int64_t begin = static_cast<std::int64_t>(blockIdx.x) * list_tile;
  for (std::int64_t first = begin; first < min(begin + list_tile, size); first += threads_per_block) {
    const std::int64_t i = first + threadIdx.x;
    const bool mine = i < size && noisy[i] == mask;
    const unsigned of_warp = __ballot_sync(whole_warp, mine);
    if (lane == 0) found[warp] = of_warp;
    __syncthreads();
    std::int64_t at = next + __popc(of_warp & ((1u << lane) - 1));
    for (int w = 0; w < warps_per_block; ++w) {
      const int own = __popc(found[w]);
      at += w < warp ? own : 0;
      next += own;
    }
    if (i < size) list.places[i] = mine ? static_cast<std::int32_t>(at) : ignored_index;
    if (mine && at < list.room) {
      list.rows[at] = static_cast<std::int32_t>(i);
      list.labels[at] = tokens[i];
      const auto m = static_cast<double>(masked_tokens(static_cast<double>(level[i / chunk]), chunk));
      list.weights[at] = static_cast<float>(1 / (static_cast<double>(chunks) * m));
    }
    __syncthreads();  // before the bits change
  }
}

/// A block has a sample.
__global__ void __launch_bounds__(threads_per_block)
    sum_listed_kernel(std::int64_t count, std::int64_t listed, float* out, const float* x, const float* weights,
                      const std::int32_t* places) {
  __shared__ double sums[warps_per_block];
  const std::int64_t n = blockIdx.x;
  double sum = 0;
  for (std::int64_t i = n * count + threadIdx.x; i < (n + 1) * count; i += threads_per_block) {
    const std::int32_t m = places[i];
    if (m == ignored_index) continue;
    // A place that is not there: what shows that the step is wrong.
    sum +=
        m >= 0 && m < listed ? static_cast<double>(weights[m]) * static_cast<double>(x[m]) : static_cast<double>(NAN);
  }
  sum = block_sum(sum, sums);
  if (threadIdx.x == 0) out[n] = static_cast<float>(sum);
}

}  // namespace

void CudaBackend::draw_mask_levels(const Tensor& level, const SigmaInterval* interval, std::int64_t tokens,
                                   const RandomKey& key, const StepState* state, std::uint32_t first_sample,
                                   std::int64_t of_samples) {
  float* const out = pointer<float>(level);
  const std::int64_t first = std::int64_t{first_sample} * level.row_size(), draws = of_samples * level.row_size();
  each(stream_, level.size(), [=] __device__(std::int64_t i) {
    const double u = uniform_open(random_words(key, state->step, 0, 0)[0]);
    const std::int64_t m = drawn_masked_tokens(*interval, tokens, u, first + i, draws);
    out[i] = static_cast<float>(m) / static_cast<float>(tokens);
  });
}

void CudaBackend::mask_tokens(const Tensor& noisy, const Tensor& tokens, const Tensor& level, std::int32_t mask,
                              const RandomKey& key, const StepState* state, std::uint32_t first_sample) {
  const std::int64_t chunks = level.row_size(), chunk = noisy.dim(1) / chunks;
  if (noisy.size() == 0) return;
  launch({stream_, static_cast<unsigned>(level.size())}, mask_kernel, chunk, chunks, pointer<std::int32_t>(noisy),
         pointer<std::int32_t>(tokens), pointer<float>(level), mask, key, state, first_sample);
}

void CudaBackend::list_masked(const Tensor& rows, const Tensor& labels, const Tensor& weights, const Tensor& places,
                              const Tensor& noisy, const Tensor& tokens, const Tensor& level, std::int32_t mask) {
  const MaskedList list{rows.size(), pointer<std::int32_t>(rows), pointer<std::int32_t>(labels),
                        pointer<float>(weights), pointer<std::int32_t>(places)};
  const std::int64_t size = noisy.size(), chunks = level.row_size(), tiles = divide_up(size, list_tile);
  each(stream_, list.room, [=] __device__(std::int64_t m) {
    list.rows[m] = list.labels[m] = ignored_index;
    list.weights[m] = 0;
  });
  if (size == 0) return;
  BLOCKTRAIN_EXPECTS(static_cast<std::size_t>(tiles) <= workspace_.floats());
  auto* const counts = reinterpret_cast<std::int32_t*>(workspace_.data());
  const Launch where{stream_, static_cast<unsigned>(tiles)};
  launch(where, count_masked_kernel, size, counts, pointer<std::int32_t>(noisy), mask);
  launch(where, list_masked_kernel, size, noisy.dim(1) / chunks, chunks, list, counts, pointer<std::int32_t>(noisy),
         pointer<std::int32_t>(tokens), pointer<float>(level), mask);
}

void CudaBackend::sum_listed(const Tensor& out, const Tensor& x, const Tensor& weights, const Tensor& places) {
  if (out.size() == 0) return;
  launch({stream_, static_cast<unsigned>(out.size())}, sum_listed_kernel, places.row_size(), x.size(),
         pointer<float>(out), pointer<float>(x), pointer<float>(weights), pointer<std::int32_t>(places));
}

}  // namespace blocktrain::kernels
