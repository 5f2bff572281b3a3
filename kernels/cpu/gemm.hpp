#pragma once
/// Matrix products of the CPU ops: the output is cut into tiles by its shape alone, and each tile is one
/// single-threaded product of OpenBLAS, so the bits do not depend on the number of threads.

#include <cstdint>

namespace blocktrain::kernels {

/// A matrix operand as stored: op(m) is `data` row-major with `stride`, read transposed if `transposed`.
struct GemmOperand {
  const float* data;
  std::int64_t stride;
  bool transposed;
};

/// c[M,N] = a[M,K] b[K,N] (+ c with `accumulate`); bias[N], when not null, is added to every row while a tile is in
/// cache.
void gemm(int threads, std::int64_t rows, std::int64_t columns, std::int64_t depth, const GemmOperand& a,
          const GemmOperand& b, float* c, std::int64_t stride_c, bool accumulate, const float* bias);

/// c[M,N] += a[M,K] b[K,N] for a long K and a small output: K is cut into pieces fixed by the shape, whose partial
/// sums (in `scratch`, `scratch_floats` long) are added in order.
void gemm_long_reduction(int threads, std::int64_t rows, std::int64_t columns, std::int64_t depth, const GemmOperand& a,
                         const GemmOperand& b, float* c, std::int64_t stride_c, float* scratch,
                         std::int64_t scratch_floats);

}  // namespace blocktrain::kernels
