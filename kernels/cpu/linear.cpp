// Matrix products and linear layers.
#include <algorithm>

#include "kernels/cpu/activations.hpp"
#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/gemm.hpp"
#include "kernels/cpu/parallel.hpp"

namespace blocktrain::kernels {

void CpuBackend::matmul(const Tensor& c, const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
                        bool accumulate) {
  const std::int64_t rows = c.dim(0), columns = c.row_size();
  const std::int64_t depth = transpose_a ? a.dim(0) : a.row_size();
  gemm(threads_, workspace_, rows, columns, depth, {a.as<float>(), a.row_stride, transpose_a},
       {b.as<float>(), b.row_stride, transpose_b}, c.as<float>(), c.row_stride, {accumulate});
}

void CpuBackend::linear_forward(const Tensor& out, const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const std::int64_t rows = x.dim(0), depth = x.row_size(), columns = weight.dim(0);
  gemm(threads_, workspace_, rows, columns, depth, {x.as<float>(), x.row_stride, false},
       {weight.as<float>(), weight.row_stride, true}, out.as<float>(), out.row_stride,
       {false, bias.empty() ? nullptr : bias.as<float>()});
}

void CpuBackend::linear_backward(const Tensor& dx, const Tensor& dweight, const Tensor& dbias, const Tensor& dy,
                                 const Tensor& x, const Tensor& weight, bool add_dx, GradientWrite write) {
  const std::int64_t rows = dy.dim(0), columns = dy.row_size(), depth = x.row_size();
  const float* dyp = dy.as<float>();
  if (!dx.empty()) {
    gemm(threads_, workspace_, rows, depth, columns, {dyp, dy.row_stride, false},
         {weight.as<float>(), weight.row_stride, false}, dx.as<float>(), dx.row_stride, {add_dx});
  }
  gemm(threads_, workspace_, columns, depth, rows, {dyp, dy.row_stride, true}, {x.as<float>(), x.row_stride, false},
       dweight.as<float>(), dweight.row_stride, {write == GradientWrite::add});
  if (!dbias.empty()) sum_columns(dbias.as<float>(), dy, write);
}

void CpuBackend::linear_gelu_forward(const Tensor& out, const Tensor& pre, const Tensor& x, const Tensor& weight,
                                     const Tensor& bias) {
  const std::int64_t rows = x.dim(0), depth = x.row_size(), columns = weight.dim(0);
  gemm(threads_, workspace_, rows, columns, depth, {x.as<float>(), depth, false}, {weight.as<float>(), depth, true},
       pre.as<float>(), columns, {false, bias.as<float>(), out.as<float>(), nullptr});
}

void CpuBackend::gelu_linear_backward(const Tensor& dpre, const Tensor& dpre_sums, const Tensor& dweight,
                                      const Tensor& dbias, const Tensor& dy, const Tensor& pre, const Tensor& weight,
                                      bool kept, GradientWrite write) {
  const std::int64_t rows = dy.dim(0), columns = weight.row_size();
  // Both need the same exponential: the GELU's output goes where its gradient will be, its derivative over its input.
  float* in = pre.as<float>();
  float* active = dpre.as<float>();
  // Two loops: one with the question inside is not vectorised, and cost a step of a block a fifth more.
  if (kept) {
    parallel_ranges(threads_, pre.size(), elementwise_piece, [=](std::int64_t begin, std::int64_t end) {
#pragma omp simd
      for (std::int64_t i = begin; i < end; ++i) in[i] = gelu_derivative(in[i]);
    });
  } else {
    parallel_ranges(threads_, pre.size(), elementwise_piece, [=](std::int64_t begin, std::int64_t end) {
#pragma omp simd
      for (std::int64_t i = begin; i < end; ++i) {
        const GeluPair g = gelu_pair(in[i]);
        active[i] = g.value;
        in[i] = g.derivative;
      }
    });
  }
  linear_backward({}, dweight, dbias, dy, dpre, weight, false, write);
  gemm(threads_, workspace_, rows, columns, weight.dim(0), {dy.as<float>(), dy.row_stride, false},
       {weight.as<float>(), columns, false}, active, columns, {false, nullptr, nullptr, in});
  sum_columns(dpre_sums.as<float>(), dpre, write);
}

void CpuBackend::sum_columns(float* out, const Tensor& matrix, GradientWrite write) {
  const std::int64_t rows = matrix.dim(0), columns = matrix.row_size();
  const float* m = matrix.as<float>();
  // A fixed number of runs of rows, whose sums are added in order.
  constexpr std::int64_t runs = 16;
  const std::int64_t run = (rows + runs - 1) / runs;
  float* partial = workspace_.shared();
  BLOCKTRAIN_EXPECTS(runs * columns <= static_cast<std::int64_t>(Workspace::shared_floats));
  parallel_for(threads_, runs, [=](std::int64_t i) {
    float* sum = partial + i * columns;
    for (std::int64_t c = 0; c < columns; ++c) sum[c] = 0;
    for (std::int64_t r = i * run; r < (i + 1) * run && r < rows; ++r) {
      const float* row = m + r * matrix.row_stride;
#pragma omp simd
      for (std::int64_t c = 0; c < columns; ++c) sum[c] += row[c];
    }
  });
  if (write == GradientWrite::replace) std::fill(out, out + columns, 0.0f);
  for (std::int64_t i = 0; i < runs; ++i) {
    for (std::int64_t c = 0; c < columns; ++c) out[c] += partial[i * columns + c];
  }
}

}  // namespace blocktrain::kernels
