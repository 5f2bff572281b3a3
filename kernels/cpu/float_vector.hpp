#pragma once
/// One register of float32, in the compilers' portable vector notation.

#include <cstring>

namespace blocktrain::kernels {

#ifdef __AVX512F__
inline constexpr int vector_lanes = 16;
#else
inline constexpr int vector_lanes = 8;
#endif
/// One register of float32.
typedef float FloatVector __attribute__((vector_size(4 * vector_lanes)));

inline FloatVector load_vector(const float* p) {
  FloatVector v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline void store_vector(float* p, FloatVector v) { std::memcpy(p, &v, sizeof v); }

}  // namespace blocktrain::kernels
