// Additions along the residual stream.
#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/transform.cuh"

namespace blocktrain::kernels {
using namespace cuda;
namespace {

/// out[n,t,c] = x[n,t,c] + gate[n,c] * h[n,t,c], Width numbers to a thread.
template <class T, int Width>
__global__ void __launch_bounds__(threads_per_block)
    gated_residual_kernel(std::int64_t pieces, std::int64_t width, std::int64_t sample_size, T* out, const T* x,
                          const T* h, const T* gate, std::int64_t gate_stride) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * threads_per_block;
  for (std::int64_t p = static_cast<std::int64_t>(blockIdx.x) * threads_per_block + threadIdx.x; p < pieces;
       p += step) {
    const std::int64_t i = p * Width;
    const T* const g = gate + i / sample_size * gate_stride + i % width;
    if constexpr (Width == lanes) {
      const Lanes a = load_lanes(x + i), b = load_lanes(h + i), w = load_lanes(g);
      Lanes result;
#pragma unroll
      for (int l = 0; l < lanes; ++l) result.value[l] = a.value[l] + w.value[l] * b.value[l];
      store_lanes(out + i, result);
    } else {
      out[i] = from_float<T>(to_float(x[i]) + to_float(*g) * to_float(h[i]));
    }
  }
}

/// dh = gate * dout, and the terms of dgate's sums.
template <class T>
struct GateGradient {
  static constexpr int sums = 1;
  T* dh;
  const T *dout, *h, *gate;
  std::int64_t gate_stride;

  __device__ void operator()(std::int64_t n, std::int64_t row, std::int64_t column, std::int64_t width,
                             float (&term)[sums]) const {
    const std::int64_t i = row * width + column;
    const float d = to_float(dout[i]);
    term[0] = d * to_float(h[i]);
    dh[i] = from_float<T>(to_float(gate[n * gate_stride + column]) * d);
  }
  static constexpr int rows_at_once = 4;
  struct Loaded {
    Raw<T> dout, h;
  };
  __device__ Raw<T> of_column(std::int64_t n, std::int64_t column) const {
    return load_raw(gate + n * gate_stride + column);
  }
  __device__ Loaded load(std::int64_t row, std::int64_t column, std::int64_t width) const {
    const std::int64_t i = row * width + column;
    return {load_raw(dout + i), load_raw(h + i)};
  }
  __device__ void pack(std::int64_t row, std::int64_t column, std::int64_t width, const Raw<T>& own,
                       const Loaded& loaded, Lanes (&term)[sums]) const {
    const Lanes d = unpack(loaded.dout), b = unpack(loaded.h), g = unpack(own);
    Lanes out;
#pragma unroll
    for (int l = 0; l < lanes; ++l) {
      term[0].value[l] = d.value[l] * b.value[l];
      out.value[l] = g.value[l] * d.value[l];
    }
    store_lanes(dh + row * width + column, out);
  }
};

template <class T>
struct StoreSum {
  T* out;
  std::int64_t stride;
  __device__ void operator()(std::int64_t n, std::int64_t column, const float (&sum)[1]) const {
    out[n * stride + column] = from_float<T>(sum[0]);
  }
};

template <class T>
void add_rows_of(cudaStream_t stream, const Tensor& x, const Tensor& row) {
  T* const to = pointer<T>(x);
  const T* const from = pointer<T>(row);
  const std::int64_t size = row.size();
  if (size % lanes == 0 && packs_at(to) && packs_at(from)) {
    each(stream, x.size() / lanes, [=] __device__(std::int64_t p) {
      const Lanes a = load_lanes(to + p * lanes), b = load_lanes(from + p * lanes % size);
      Lanes sum;
#pragma unroll
      for (int l = 0; l < lanes; ++l) sum.value[l] = a.value[l] + b.value[l];
      store_lanes(to + p * lanes, sum);
    });
  } else {
    each(stream, x.size(),
         [=] __device__(std::int64_t i) { to[i] = from_float<T>(to_float(to[i]) + to_float(from[i % size])); });
  }
}

}  // namespace

void CudaBackend::gated_residual_forward(const Tensor& out, const Tensor& x, const Tensor& h, const Tensor& gate) {
  const std::int64_t tokens = x.dim(1), width = x.dim(2);
  if (x.size() == 0) return;
  with_stored_type(x.dtype, [&](auto type) {
    using T = decltype(type);
    T* const to = pointer<T>(out);
    const T *const a = pointer<T>(x), *const b = pointer<T>(h), *const g = pointer<T>(gate);
    const bool packs = width % lanes == 0 && packs_at(to) && packs_at(a) && packs_at(b) && packs_at(g, gate.row_stride);
    const std::int64_t pieces = x.size() / (packs ? lanes : 1);
    const unsigned blocks = blocks_for(pieces, threads_per_block);
    if (packs) {
      launch({stream_, blocks}, gated_residual_kernel<T, lanes>, pieces, width, tokens * width, to, a, b, g,
             gate.row_stride);
    } else {
      launch({stream_, blocks}, gated_residual_kernel<T, 1>, pieces, width, tokens * width, to, a, b, g,
             gate.row_stride);
    }
  });
}

void CudaBackend::gated_residual_backward(const Tensor& dh, const Tensor& dgate, const Tensor& dout, const Tensor& h,
                                          const Tensor& gate) {
  const std::int64_t samples = dout.dim(0), tokens = dout.dim(1), width = dout.dim(2);
  with_stored_type(dout.dtype, [&](auto type) {
    using T = decltype(type);
    const GateGradient<T> term{pointer<T>(dh), pointer<T>(dout), pointer<T>(h), pointer<T>(gate), gate.row_stride};
    const bool packs = packs_at(term.dh) && packs_at(term.dout) && packs_at(term.h) &&
                       packs_at(term.gate, gate.row_stride) && width % lanes == 0;
    column_sums(stream_, workspace_, samples, tokens, width, packs, term,
                StoreSum<T>{pointer<T>(dgate), dgate.row_stride});
  });
}

void CudaBackend::add_rows(const Tensor& x, const Tensor& row) {
  with_stored_type(x.dtype, [&](auto type) { add_rows_of<decltype(type)>(stream_, x, row); });
}

}  // namespace blocktrain::kernels
