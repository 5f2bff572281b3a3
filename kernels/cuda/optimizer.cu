// Norm, clipping and AdamW without a word to the host: the step's numbers are read where they are, on the device.
#include <span>

#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/transform.cuh"

namespace blocktrain::kernels {
using namespace cuda;
namespace {

/// Blocks of the first pass of a sum over a whole gradient: by its size alone, so that the order of the sum is fixed.
constexpr std::int64_t most_sum_blocks = 1024;
/// Packs of a thread of it that are under way at once.
constexpr int squares_ahead = 4;

__device__ double square(float x) { return static_cast<double>(x) * static_cast<double>(x); }

/// Of four float32.
__device__ double squares(uint4 w) {
  return (square(std::bit_cast<float>(w.x)) + square(std::bit_cast<float>(w.y))) +
         (square(std::bit_cast<float>(w.z)) + square(std::bit_cast<float>(w.w)));
}

__global__ void __launch_bounds__(threads_per_block)
    squares_kernel(std::int64_t size, const float* x, double* partial) {
  __shared__ double scratch[warps_per_block];
  double sum = 0;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * threads_per_block * 4;
  std::int64_t i = (static_cast<std::int64_t>(blockIdx.x) * threads_per_block + threadIdx.x) * 4;
#pragma unroll 1
  for (; i + (squares_ahead - 1) * step + 4 <= size; i += squares_ahead * step) {
    uint4 packs[squares_ahead];
#pragma unroll
    for (int a = 0; a < squares_ahead; ++a) packs[a] = load_words(x + i + a * step);
#pragma unroll
    for (const uint4& p : packs) sum += squares(p);
  }
#pragma unroll 1
  for (; i + 4 <= size; i += step) sum += squares(load_words(x + i));
  for (; i < size; ++i) sum += square(x[i]);
  sum = block_sum(sum, scratch);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(threads_per_block)
    squares_finish_kernel(int count, const double* partial, StepState* state) {
  __shared__ double scratch[warps_per_block];
  double sum = 0;
  for (int i = threadIdx.x; i < count; i += threads_per_block) sum += partial[i];
  sum = block_sum(sum, scratch);
  if (threadIdx.x == 0) state->gradient_square_sum += sum;
}

__global__ void clip_kernel(StepState* state) {
  const double norm = sqrt(state->gradient_square_sum);
  if (!isfinite(norm)) state->finite = 0;
  const bool clip = state->clip_norm > 0 && norm > static_cast<double>(state->clip_norm);
  state->gradient_scale = clip ? static_cast<float>(static_cast<double>(state->clip_norm) / norm) : 1.0f;
}

/// Factors of an update, worked out once a block from the step's numbers; see cpu/optimizer.cpp for their form.
struct Update {
  float scale, shrink, step, epsilon, take1, take2;
};

/// The numbers of AdamWParameters.
struct Factors {
  double beta1, beta2, epsilon, weight_decay;
};

__device__ Update update_of(const StepState& state, const Factors& parameters) {
  const double rate = state.learning_rate, root = sqrt(static_cast<double>(state.bias_correction2));
  return {state.gradient_scale,
          static_cast<float>(rate * parameters.weight_decay),
          static_cast<float>(rate * root / static_cast<double>(state.bias_correction1)),
          static_cast<float>(parameters.epsilon * root),
          static_cast<float>(1 - parameters.beta1),
          static_cast<float>(1 - parameters.beta2)};
}

__device__ void update_one(const Update& u, float shrink, float g, float& p, float& m, float& v) {
  const float gradient = g * u.scale;
  m += u.take1 * (gradient - m);
  v += u.take2 * (gradient * gradient - v);
  p -= shrink * p + u.step * m / (sqrtf(v) + u.epsilon);
}

__device__ Pack<float> pack_of(uint4 w) {
  return {{std::bit_cast<float>(w.x), std::bit_cast<float>(w.y), std::bit_cast<float>(w.z), std::bit_cast<float>(w.w)}};
}

/// Where the weights of a launch do not decay, handed over with it.
struct Undecayed {
  static constexpr int most = 96;
  int count;
  ElementRange ranges[most];

  /// The first range that ends behind element `i`; `count` where there is none.
  __device__ int behind(std::int64_t i) const {
    int low = 0, high = count;
    while (low < high) {
      const int middle = (low + high) / 2;
      if (ranges[middle].end <= i) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }
  /// `shrink`, or 0 for element `i`. `at` is behind(some element before `i`), and moves on.
  __device__ float shrink(float shrink, std::int64_t i, int& at) const {
    while (at < count && ranges[at].end <= i) ++at;
    return at < count && ranges[at].begin <= i ? 0.0f : shrink;
  }
};

/// Four weights to a thread; `working` (may be null) takes them in the type the network computes in.
template <class T>
__global__ void __launch_bounds__(threads_per_block)
    adamw_kernel(std::int64_t packed, std::int64_t size, float* p, float* m, float* v, const float* g, T* working,
                 const StepState* state, Factors factors, const __grid_constant__ Undecayed undecayed) {
  if (state->finite == 0) return;
  __shared__ Update shared;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * threads_per_block;
  const std::int64_t thread = static_cast<std::int64_t>(blockIdx.x) * threads_per_block + threadIdx.x;
  std::int64_t i = thread * 4;
  // On their way while one thread works out the factors.
  uint4 weights{}, firsts{}, seconds{}, gradients{};
  const auto load = [&] {
    weights = load_words(p + i);
    firsts = load_words(m + i);
    seconds = load_words(v + i);
    gradients = load_words(g + i);
  };
  if (i < packed) load();
  if (threadIdx.x == 0) shared = update_of(*state, factors);
  __syncthreads();
  const Update u = shared;
  while (i < packed) {
    Pack<float> weight = pack_of(weights), first = pack_of(firsts), second = pack_of(seconds);
    const Pack<float> gradient = pack_of(gradients);
    int at = undecayed.behind(i);
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      update_one(u, undecayed.shrink(u.shrink, i + e, at), gradient.value[e], weight.value[e], first.value[e],
                 second.value[e]);
    }
    store_pack(p + i, weight);
    store_pack(m + i, first);
    store_pack(v + i, second);
    if (working != nullptr) {
      struct alignas(4 * sizeof(T)) Four {
        T value[4];
      } four;
#pragma unroll
      for (int e = 0; e < 4; ++e) four.value[e] = from_float<T>(weight.value[e]);
      *reinterpret_cast<Four*>(working + i) = four;
    }
    i += step * 4;
    if (i < packed) load();
  }
  for (std::int64_t rest = packed + thread; rest < size; rest += step) {
    int at = undecayed.behind(rest);
    update_one(u, undecayed.shrink(u.shrink, rest, at), g[rest], p[rest], m[rest], v[rest]);
    if (working != nullptr) working[rest] = from_float<T>(p[rest]);
  }
}

void update(cudaStream_t stream, const Tensor& p, const Tensor& m, const Tensor& v, const Tensor& working,
            const Tensor& g, const StepState* state, const Factors& factors, const Undecayed& undecayed) {
  float *const weights = pointer<float>(p), *const first = pointer<float>(m), *const second = pointer<float>(v);
  const float* const gradients = pointer<float>(g);
  const bool packs = packs_at(weights) && packs_at(first) && packs_at(second) && packs_at(gradients);
  with_stored_type(working.empty() ? DType::float32 : working.dtype, [&](auto type) {
    using T = decltype(type);
    T* const copies = pointer_or_null<T>(working);
    const bool aligned = packs && reinterpret_cast<std::uintptr_t>(copies) % (4 * sizeof(T)) == 0;
    const std::int64_t packed = aligned ? p.size() / 4 * 4 : 0;
    const unsigned blocks = blocks_for(std::max(packed / 4, p.size() - packed), threads_per_block);
    launch({stream, blocks}, adamw_kernel<T>, packed, p.size(), weights, first, second, gradients, copies, state,
           factors, undecayed);
  });
}

}  // namespace

void CudaBackend::sum_squares(StepState* state, const Tensor& x) {
  BLOCKTRAIN_EXPECTS(x.contiguous() && packs_at(pointer<float>(x)));
  double* const partial = reinterpret_cast<double*>(workspace_.data());
  const unsigned blocks =
      blocks_for(std::min(divide_up(x.size(), squares_ahead * 4 * threads_per_block), most_sum_blocks), 1);
  launch({stream_, blocks}, squares_kernel, x.size(), pointer<float>(x), partial);
  launch({stream_, 1}, squares_finish_kernel, static_cast<int>(blocks), partial, state);
}

void CudaBackend::clip_gradient(StepState* state) { launch({stream_, 1, 1}, clip_kernel, state); }

void CudaBackend::adamw(const Tensor& p, const Tensor& m, const Tensor& v, const Tensor& working, const Tensor& g,
                        const StepState* state, const AdamWParameters& parameters) {
  if (p.size() == 0) return;
  const Factors factors{parameters.beta1, parameters.beta2, parameters.epsilon, parameters.weight_decay};
  std::span<const ElementRange> left =
      parameters.weight_decay == 0 ? std::span<const ElementRange>() : parameters.undecayed;
  // All at once, or as many weights as one launch can be told the ranges of.
  for (std::int64_t begin = 0; begin < p.size();) {
    Undecayed undecayed{};
    undecayed.count = static_cast<int>(std::min<std::size_t>(left.size(), Undecayed::most));
    for (int r = 0; r < undecayed.count; ++r) {
      undecayed.ranges[r] = {left[static_cast<std::size_t>(r)].begin - begin,
                             left[static_cast<std::size_t>(r)].end - begin};
    }
    const bool all = left.size() <= Undecayed::most;
    // Whole packs, of which the last may hold the end of a range: that is told to the next launch as well.
    const std::int64_t end = all ? p.size() : left[Undecayed::most].begin / 4 * 4;
    if (end > begin) {
      const auto part = [=](const Tensor& t) { return t.rows(begin, end); };
      update(stream_, part(p), part(m), part(v), working.empty() ? Tensor() : part(working), part(g), state, factors,
             undecayed);
    }
    while (!left.empty() && left.front().end <= end) left = left.subspan(1);
    begin = end;
  }
}

void CudaBackend::exponential_average(const Tensor& average, const Tensor& p, double decay, const StepState* state) {
  float* const averages = pointer<float>(average);
  const float take = static_cast<float>(1 - decay);
  transform(
      stream_, p.size(), [=] __device__(float a, float w) { return state->finite == 0 ? a : a + take * (w - a); },
      averages, static_cast<const float*>(averages), static_cast<const float*>(pointer<float>(p)));
}

}  // namespace blocktrain::kernels
