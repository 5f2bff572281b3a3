// Matrix products and linear layers, by cuBLASLt with the fused ends that it has.
#include "kernels/cuda/activations.cuh"
#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/plain_matmul.cuh"

namespace blocktrain::kernels {
using namespace cuda;
namespace {

/// The terms of the sums down a matrix's columns.
template <class T>
struct Entries {
  static constexpr int sums = 1;
  const T* data;
  std::int64_t stride;
  __device__ void operator()(std::int64_t, std::int64_t row, std::int64_t column, std::int64_t,
                             float (&term)[sums]) const {
    term[0] = to_float(data[row * stride + column]);
  }
  static constexpr int rows_at_once = 4;
  __device__ int of_column(std::int64_t, std::int64_t) const { return 0; }
  __device__ Raw<T> load(std::int64_t row, std::int64_t column, std::int64_t) const {
    return load_raw(data + row * stride + column);
  }
  __device__ void pack(std::int64_t, std::int64_t, std::int64_t, int, const Raw<T>& loaded, Lanes (&term)[sums]) const {
    term[0] = unpack(loaded);
  }
};

/// dpre = d * gelu'(pre), where dpre holds d, and the terms of the sums down its columns.
template <class T>
struct GeluGradient {
  static constexpr int sums = 1;
  T* dpre;
  const T* pre;
  __device__ void operator()(std::int64_t, std::int64_t row, std::int64_t column, std::int64_t width,
                             float (&term)[sums]) const {
    const std::int64_t i = row * width + column;
    term[0] = to_float(dpre[i]) * gelu_derivative(to_float(pre[i]));
    dpre[i] = from_float<T>(term[0]);
  }
  static constexpr int rows_at_once = 4;
  struct Loaded {
    Raw<T> d, pre;
  };
  __device__ int of_column(std::int64_t, std::int64_t) const { return 0; }
  __device__ Loaded load(std::int64_t row, std::int64_t column, std::int64_t width) const {
    const std::int64_t i = row * width + column;
    return {load_raw(dpre + i), load_raw(pre + i)};
  }
  __device__ void pack(std::int64_t row, std::int64_t column, std::int64_t width, int, const Loaded& loaded,
                       Lanes (&term)[sums]) const {
    const Lanes d = unpack(loaded.d), x = unpack(loaded.pre);
#pragma unroll
    for (int l = 0; l < lanes; ++l) term[0].value[l] = d.value[l] * gelu_derivative(x.value[l]);
    store_lanes(dpre + row * width + column, term[0]);
  }
};

struct TakeSum {
  float* out;
  bool add;
  __device__ void operator()(std::int64_t, std::int64_t column, const float (&sum)[1]) const {
    out[column] = add ? out[column] + sum[0] : sum[0];
  }
};

template <class T>
void add_bias(cudaStream_t stream, const Tensor& out, const Tensor& bias) {
  T* const to = pointer<T>(out);
  const T* const from = pointer<T>(bias);
  const std::int64_t columns = out.row_size(), stride = out.row_stride;
  each(stream, out.size(), [=] __device__(std::int64_t i) {
    T& entry = to[i / columns * stride + i % columns];
    entry = from_float<T>(to_float(entry) + to_float(from[i % columns]));
  });
}

}  // namespace

void CudaBackend::matmul(const Tensor& c, const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
                         bool accumulate) {
  if (matmul_.multiply(stream_, workspace_, c, a, transpose_a, b, transpose_b, accumulate, {})) return;
  with_stored_type(c.dtype, [&](auto out) {
    with_stored_type(a.dtype, [&](auto in) {
      plain_matmul<decltype(out), decltype(in)>(stream_, c, a, transpose_a, b, transpose_b, accumulate);
    });
  });
}

void CudaBackend::linear_forward(const Tensor& out, const Tensor& x, const Tensor& weight, const Tensor& bias) {
  if (bias.empty()) return matmul(out, x, false, weight, true, false);
  const MatmulEnd end{MatmulEnd::Kind::bias, bias, {}};
  if (matmul_.multiply(stream_, workspace_, out, x, false, weight, true, false, end)) return;
  matmul(out, x, false, weight, true, false);
  with_stored_type(out.dtype, [&](auto type) { add_bias<decltype(type)>(stream_, out, bias); });
}

void CudaBackend::linear_backward(const Tensor& dx, const Tensor& dweight, const Tensor& dbias, const Tensor& dy,
                                  const Tensor& x, const Tensor& weight, bool add_dx, GradientWrite write) {
  const bool add_parameters = write == GradientWrite::add;
  if (!dx.empty()) matmul(dx, dy, false, weight, false, add_dx);
  if (dbias.empty()) return matmul(dweight, dy, true, x, false, add_parameters);
  // cuBLASLt can sum dy's columns as it reads them, but overwrites what was there. Of bfloat16 it has no such product
  // among those for Hopper's matrix units, only older ones and a pass of its own: there ours, beside a fast product.
  if (dy.dtype == DType::float32 && static_cast<std::size_t>(dbias.size()) <= most_column_sums) {
    const Tensor sums = add_parameters ? Tensor(workspace_.sums(), DType::float32, {dbias.size()}) : dbias;
    const MatmulEnd end{MatmulEnd::Kind::bias_gradient, sums, {}};
    if (matmul_.multiply(stream_, workspace_, dweight, dy, true, x, false, add_parameters, end)) {
      if (add_parameters) add(dbias, sums);
      return;
    }
  }
  matmul(dweight, dy, true, x, false, add_parameters);
  sum_columns(dbias, dy, write);
}

void CudaBackend::linear_gelu_forward(const Tensor& out, const Tensor& pre, const Tensor& x, const Tensor& weight,
                                      const Tensor& bias) {
  MatmulEnd end{MatmulEnd::Kind::bias_gelu, bias, {}};
  if (out.data != pre.data) end = {MatmulEnd::Kind::bias_gelu_keep, bias, pre};
  if (matmul_.multiply(stream_, workspace_, out, x, false, weight, true, false, end)) return;
  // cuBLASLt has no such end for this type or shape.
  linear_forward(pre, x, weight, bias);
  gelu_forward(out, pre);
}

void CudaBackend::gelu_linear_backward(const Tensor& dpre, const Tensor& dpre_sums, const Tensor& dweight,
                                       const Tensor& dbias, const Tensor& dy, const Tensor& pre, const Tensor& weight,
                                       bool kept, GradientWrite write) {
  if (!kept) gelu_forward(dpre, pre);
  linear_backward({}, dweight, dbias, dy, dpre, weight, false, write);
  // cuBLASLt can end the product in GELU's gradient, but on Hopper by kernels made for Ampere, which take twice as
  // long; and a pass of our own sums the columns as well, which would have to be read again otherwise.
  matmul(dpre, dy, false, weight, false, false);
  with_stored_type(dpre.dtype, [&](auto type) {
    using T = decltype(type);
    const GeluGradient<T> term{pointer<T>(dpre), pointer<T>(pre)};
    const bool packs = dpre.row_size() % lanes == 0 && packs_at(term.dpre) && packs_at(term.pre);
    column_sums(stream_, workspace_, 1, dpre.dim(0), dpre.row_size(), packs, term,
                TakeSum{pointer<float>(dpre_sums), write == GradientWrite::add});
  });
}

void CudaBackend::sum_columns(const Tensor& out, const Tensor& matrix, GradientWrite write) {
  with_stored_type(matrix.dtype, [&](auto type) {
    using T = decltype(type);
    const Entries<T> entries{pointer<T>(matrix), matrix.row_stride};
    const bool packs = matrix.row_size() % lanes == 0 && packs_at(entries.data, entries.stride);
    column_sums(stream_, workspace_, 1, matrix.dim(0), matrix.row_size(), packs, entries,
                TakeSum{pointer<float>(out), write == GradientWrite::add});
  });
}

}  // namespace blocktrain::kernels
