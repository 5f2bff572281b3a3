#pragma once
/// Element access of the reference ops: `at(t, i, j, k)` reads like the formula it comes from.

#include <cstdint>

#include "kernels/tensor.hpp"

namespace blocktrain::kernels::reference {

using Index = std::int64_t;

/// Element `j` of row `i`, counted through the trailing dimensions; strided rows are fine.
inline double& at(const Tensor& t, Index i, Index j = 0) { return t.as<double>()[i * t.row_stride + j]; }
/// Element [i, j, k] of a tensor of three dimensions.
inline double& at(const Tensor& t, Index i, Index j, Index k) {
  return t.as<double>()[i * t.row_stride + j * t.shape[2] + k];
}
/// Element [i, j, k, l] of a tensor of four dimensions.
inline double& at(const Tensor& t, Index i, Index j, Index k, Index l) {
  return t.as<double>()[i * t.row_stride + (j * t.shape[2] + k) * t.shape[3] + l];
}

}  // namespace blocktrain::kernels::reference
