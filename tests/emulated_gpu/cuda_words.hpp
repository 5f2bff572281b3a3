#pragma once
/// The words that CUDA C++ adds to C++, as far as the kernels use them, so that a C++ compiler takes their sources. It
/// is included in front of each.

#include <cuda_runtime_api.h>

#include <boost/math/special_functions/cos_pi.hpp>
#include <boost/math/special_functions/erf.hpp>
#include <boost/math/special_functions/sin_pi.hpp>
#include <cmath>
#include <cstring>

#include "tests/emulated_gpu/thread_block.hpp"

// Blocks run one after the other on a thread of the host, so that its own memory serves as a block's.
#undef __shared__
#define __shared__ static thread_local
#define __launch_bounds__(...)
#undef __grid_constant__
#define __grid_constant__

#define threadIdx (::emulated_gpu::here->thread)
#define blockIdx (::emulated_gpu::here->block)
#define blockDim (::emulated_gpu::here->block_size)
#define gridDim (::emulated_gpu::here->grid)

inline void __syncthreads() { emulated_gpu::wait_for_block(); }

/// All lanes of a warp have to come; `mask` other than all of them is not emulated.
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask) {
  static_assert(sizeof(T) <= emulated_gpu::widest_shuffle);
  T got;
  std::memcpy(&got, emulated_gpu::shuffle(mask, &value, sizeof(T), lane_mask), sizeof(T));
  return got;
}

inline void __syncwarp() { __shfl_xor_sync(0xffffffffu, 0, 1); }

/// A bit for each lane whose predicate holds. From shuffles: bit by bit, each step doubles how many lanes are known.
inline unsigned __ballot_sync(unsigned mask, bool predicate) {
  unsigned bits = (predicate ? 1u : 0u) << (threadIdx.x % 32);
  for (int d = 1; d < 32; d *= 2) bits |= __shfl_xor_sync(mask, bits, d);
  return bits;
}
inline int __popc(unsigned x) { return __builtin_popcount(x); }

inline double normcdfinv(double p) { return -std::sqrt(2.0) * boost::math::erfc_inv(2 * p); }
inline void sincospif(float x, float* sine, float* cosine) {
  *sine = boost::math::sin_pi(x);
  *cosine = boost::math::cos_pi(x);
}
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
template <class T>
T min(T a, T b) {
  return b < a ? b : a;
}
template <class T>
T max(T a, T b) {
  return a < b ? b : a;
}
using std::isfinite;
