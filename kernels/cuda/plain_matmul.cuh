#pragma once
/// A matrix product by a plain kernel: for the odd shape or alignment that cuBLASLt has no algorithm for.

#include "kernels/cuda/launch.cuh"

namespace blocktrain::kernels::cuda {

/// c[M,N] (+)= op(a) op(b), as Ops::matmul; sums in float32, in the order of the depth.
template <class Out, class In>
void plain_matmul(cudaStream_t stream, const Tensor& c, const Tensor& a, bool transpose_a, const Tensor& b,
                  bool transpose_b, bool accumulate) {
  Out* const to = pointer<Out>(c);
  const In *const left = pointer<In>(a), *const right = pointer<In>(b);
  const std::int64_t columns = c.row_size(), depth = transpose_a ? a.dim(0) : a.row_size(), c_stride = c.row_stride;
  const std::int64_t a_row = transpose_a ? 1 : a.row_stride, a_step = transpose_a ? a.row_stride : 1;
  const std::int64_t b_column = transpose_b ? b.row_stride : 1, b_step = transpose_b ? 1 : b.row_stride;
  each(stream, c.size(), [=] __device__(std::int64_t i) {
    const std::int64_t row = i / columns, column = i % columns;
    float sum = 0;
    for (std::int64_t k = 0; k < depth; ++k) {
      sum += to_float(left[row * a_row + k * a_step]) * to_float(right[column * b_column + k * b_step]);
    }
    Out& entry = to[row * c_stride + column];
    entry = from_float<Out>(accumulate ? to_float(entry) + sum : sum);
  });
}

}  // namespace blocktrain::kernels::cuda
