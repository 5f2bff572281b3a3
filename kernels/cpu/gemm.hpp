#pragma once
/// Matrix products of the CPU ops. The output is cut into tiles by its shape alone, and a tile is one piece of work,
/// so the bits do not depend on the number of threads. packed_gemm.hpp has the inside of a tile.
/// Why our own: see bench/gemm_libraries.cpp, which compares with OpenBLAS and oneDNN.

#include <cstdint>

#include "kernels/cpu/workspace.hpp"

namespace blocktrain::kernels {

/// A matrix operand as stored: row-major with `stride`, read transposed if `transposed`.
struct GemmOperand {
  const float* data;
  std::int64_t stride;
  bool transposed;
};

/// What is done to a tile of the output as soon as it is complete, while it is in a core's cache.
struct GemmFinish {
  bool accumulate = false;        ///< add to what is there
  const float* bias = nullptr;    ///< [N], added to every row
  float* gelu = nullptr;          ///< takes gelu(c), strided like c; may be c itself
  const float* factor = nullptr;  ///< c *= factor, element by element, strided like c
};

/// c[M,N] = a[M,K] b[K,N], and what `finish` says. Uses the shared and the threads' scratch of `workspace`.
void gemm(int threads, const Workspace& workspace, std::int64_t rows, std::int64_t columns, std::int64_t depth,
          const GemmOperand& a, const GemmOperand& b, float* c, std::int64_t stride_c, const GemmFinish& finish);

}  // namespace blocktrain::kernels
