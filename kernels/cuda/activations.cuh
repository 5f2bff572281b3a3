#pragma once
/// Activation functions of one number on the device.

namespace blocktrain::kernels::cuda {

/// 1 / (1 + exp(-x)); 0 where the exponential overflows.
__device__ inline float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

/// GELU in its tanh form, as x * sigmoid(2u): one exponential, and relative accuracy for large negative x.
__device__ inline float gelu(float x) {
  constexpr float two_root = 1.59576912160573071f;  // 2 sqrt(2/pi)
  return x * sigmoid(two_root * x * (1.0f + 0.044715f * x * x));
}

__device__ inline float gelu_derivative(float x) {
  constexpr float two_root = 1.59576912160573071f;
  const float s = sigmoid(two_root * x * (1.0f + 0.044715f * x * x));
  return s + x * s * (1.0f - s) * two_root * (1.0f + 3 * 0.044715f * x * x);
}

}  // namespace blocktrain::kernels::cuda
