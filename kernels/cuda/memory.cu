#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/transform.cuh"

namespace blocktrain::kernels {
using namespace cuda;
namespace {

/// out[r, c] = f(a[r, c], b[r, c]) where rows may be apart.
template <class T, class F>
void by_rows(cudaStream_t stream, const Tensor& out, const Tensor& a, const Tensor& b, F f) {
  T* const to = pointer<T>(out);
  const T* const left = pointer<T>(a);
  const T* const right = pointer<T>(b);
  const std::int64_t columns = out.row_size(), out_stride = out.row_stride, a_stride = a.row_stride;
  const std::int64_t b_stride = b.row_stride;
  each(stream, out.size(), [=] __device__(std::int64_t i) {
    const std::int64_t r = i / columns, c = i % columns;
    to[r * out_stride + c] = from_float<T>(f(to_float(left[r * a_stride + c]), to_float(right[r * b_stride + c])));
  });
}

template <class T>
void fill_rows(cudaStream_t stream, const Tensor& out, float value) {
  T* const to = pointer<T>(out);
  const std::int64_t columns = out.row_size(), stride = out.row_stride;
  each(stream, out.size(),
       [=] __device__(std::int64_t i) { to[i / columns * stride + i % columns] = from_float<T>(value); });
}

struct Same {
  __device__ float operator()(float a) const { return a; }
};
struct Sum {
  __device__ float operator()(float a, float b) const { return a + b; }
};
struct Combination {
  float a, b;
  __device__ float operator()(float x, float y) const { return a * x + b * y; }
};

}  // namespace

void CudaBackend::fill(const Tensor& out, double value) {
  with_stored_type(out.dtype, [&](auto type) {
    using T = decltype(type);
    if (out.contiguous() && value == 0) {
      BLOCKTRAIN_CUDA(cudaMemsetAsync(out.data, 0, out.bytes(), stream_));
      return;
    }
    fill_rows<T>(stream_, out, static_cast<float>(value));
  });
}

void CudaBackend::copy(const Tensor& out, const Tensor& in) {
  if (out.size() == 0) return;
  const std::size_t element = size_of(in.dtype);
  const std::size_t row = static_cast<std::size_t>(in.row_size()) * element;
  if (out.contiguous() && in.contiguous()) {
    BLOCKTRAIN_CUDA(cudaMemcpyAsync(out.data, in.data, in.bytes(), cudaMemcpyDeviceToDevice, stream_));
    return;
  }
  BLOCKTRAIN_CUDA(cudaMemcpy2DAsync(out.data, static_cast<std::size_t>(out.row_stride) * element, in.data,
                                    static_cast<std::size_t>(in.row_stride) * element, row,
                                    static_cast<std::size_t>(in.dim(0)), cudaMemcpyDeviceToDevice, stream_));
}

void CudaBackend::convert(const Tensor& out, const Tensor& in) {
  with_stored_type(out.dtype, [&](auto to) {
    with_stored_type(in.dtype, [&](auto from) {
      using To = decltype(to);
      using From = decltype(from);
      transform(stream_, out.size(), Same{}, pointer<To>(out), static_cast<const From*>(pointer<From>(in)));
    });
  });
}

void CudaBackend::add(const Tensor& out, const Tensor& in) {
  with_stored_type(out.dtype, [&](auto type) {
    using T = decltype(type);
    T* const to = pointer<T>(out);
    const T* const from = pointer<T>(in);
    if (out.contiguous() && in.contiguous()) {
      transform(stream_, out.size(), Sum{}, to, static_cast<const T*>(to), from);
    } else {
      by_rows<T>(stream_, out, out, in, Sum{});
    }
  });
}

void CudaBackend::axpby(const Tensor& out, double a, const Tensor& x, double b, const Tensor& y) {
  const Combination f{static_cast<float>(a), static_cast<float>(b)};
  with_stored_type(out.dtype, [&](auto type) {
    using T = decltype(type);
    transform(stream_, out.size(), f, pointer<T>(out), static_cast<const T*>(pointer<T>(x)),
              static_cast<const T*>(pointer<T>(y)));
  });
}

}  // namespace blocktrain::kernels
