// Elementwise activations called alone; behind a matrix product cuBLASLt applies them.
#include "kernels/cuda/activations.cuh"
#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/transform.cuh"

namespace blocktrain::kernels {
using namespace cuda;
namespace {

struct Gelu {
  __device__ float operator()(float x) const { return gelu(x); }
};
struct GeluBackward {
  __device__ float operator()(float dy, float x) const { return dy * gelu_derivative(x); }
};
struct Silu {
  __device__ float operator()(float x) const { return x * sigmoid(x); }
};
struct SiluBackward {
  __device__ float operator()(float dy, float x) const {
    const float s = sigmoid(x);
    return dy * s * (1.0f + x * (1.0f - s));
  }
};

template <class F>
void map(cudaStream_t stream, const Tensor& out, const Tensor& x, F f) {
  with_stored_type(out.dtype, [&](auto type) {
    using T = decltype(type);
    transform(stream, x.size(), f, pointer<T>(out), static_cast<const T*>(pointer<T>(x)));
  });
}

template <class F>
void map(cudaStream_t stream, const Tensor& out, const Tensor& x, const Tensor& y, F f) {
  with_stored_type(out.dtype, [&](auto type) {
    using T = decltype(type);
    transform(stream, x.size(), f, pointer<T>(out), static_cast<const T*>(pointer<T>(x)),
              static_cast<const T*>(pointer<T>(y)));
  });
}

}  // namespace

void CudaBackend::gelu_forward(const Tensor& out, const Tensor& x) { map(stream_, out, x, Gelu{}); }
void CudaBackend::gelu_backward(const Tensor& dx, const Tensor& dy, const Tensor& x) {
  map(stream_, dx, dy, x, GeluBackward{});
}
void CudaBackend::silu_forward(const Tensor& out, const Tensor& x) { map(stream_, out, x, Silu{}); }
void CudaBackend::silu_backward(const Tensor& dx, const Tensor& dy, const Tensor& x) {
  map(stream_, dx, dy, x, SiluBackward{});
}

}  // namespace blocktrain::kernels
