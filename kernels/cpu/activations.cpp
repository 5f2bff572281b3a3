// Elementwise activations. Bound by memory when called alone; linear_forward and linear_backward apply them in cache.
#include "kernels/cpu/activations.hpp"

#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/parallel.hpp"

namespace blocktrain::kernels {
namespace {

/// out[i] = f(x[i]) for same-sized contiguous tensors; out may be x.
template <class F>
void map(int threads, const Tensor& out, const Tensor& x, F f) {
  float* o = out.as<float>();
  const float* a = x.as<float>();
  parallel_ranges(threads, x.size(), elementwise_piece, [=](std::int64_t begin, std::int64_t end) {
#pragma omp simd
    for (std::int64_t i = begin; i < end; ++i) o[i] = f(a[i]);
  });
}

/// out[i] = f(a[i], b[i]); out may be a.
template <class F>
void map(int threads, const Tensor& out, const Tensor& x, const Tensor& y, F f) {
  float* o = out.as<float>();
  const float* a = x.as<float>();
  const float* b = y.as<float>();
  parallel_ranges(threads, x.size(), elementwise_piece, [=](std::int64_t begin, std::int64_t end) {
#pragma omp simd
    for (std::int64_t i = begin; i < end; ++i) o[i] = f(a[i], b[i]);
  });
}

}  // namespace

void CpuBackend::gelu_forward(const Tensor& out, const Tensor& x) {
  map(threads_, out, x, [](float v) { return gelu(v); });
}

void CpuBackend::gelu_backward(const Tensor& dx, const Tensor& dy, const Tensor& x) {
  map(threads_, dx, dy, x, [](float d, float v) { return d * gelu_derivative(v); });
}

void CpuBackend::silu_forward(const Tensor& out, const Tensor& x) {
  map(threads_, out, x, [](float v) { return v * fast_sigmoid(v); });
}

void CpuBackend::silu_backward(const Tensor& dx, const Tensor& dy, const Tensor& x) {
  map(threads_, dx, dy, x, [](float d, float v) {
    const float s = fast_sigmoid(v);
    return d * s * (1.0f + v * (1.0f - s));
  });
}

}  // namespace blocktrain::kernels
