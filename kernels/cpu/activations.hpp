#pragma once
/// Activation functions of one number, for the elementwise ops and for the ends of matrix products.

#include "kernels/cpu/vector_math.hpp"

namespace blocktrain::kernels {

/// GELU in its tanh form, as x * sigmoid(2u): (1 + tanh(u)) / 2 = sigmoid(2u), which needs one exponential and keeps
/// its relative accuracy for large negative x.
inline float gelu(float x) {
  constexpr float two_root = 1.59576912160573071f;  // 2 sqrt(2/pi)
  return x * fast_sigmoid(two_root * x * (1.0f + 0.044715f * x * x));
}

struct GeluPair {
  float value, derivative;
};
/// gelu(x) and gelu'(x), by the same exponential.
inline GeluPair gelu_pair(float x) {
  constexpr float two_root = 1.59576912160573071f;
  const float s = fast_sigmoid(two_root * x * (1.0f + 0.044715f * x * x));
  return {x * s, s + x * s * (1.0f - s) * two_root * (1.0f + 3 * 0.044715f * x * x)};
}

inline float gelu_derivative(float x) { return gelu_pair(x).derivative; }

}  // namespace blocktrain::kernels
