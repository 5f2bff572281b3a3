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

inline bool same_shape(const Tensor& a, const Tensor& b) { return a.rank == b.rank && a.shape == b.shape; }
/// Same number of rows and same row length, however the trailing dimensions are split.
inline bool same_rows(const Tensor& a, const Tensor& b) {
  return a.shape[0] == b.shape[0] && a.row_size() == b.row_size();
}
inline bool is_matrix(const Tensor& t, Index rows, Index columns) {
  return t.shape[0] == rows && t.shape[1] == columns && t.row_size() == columns;
}
inline bool is_vector(const Tensor& t, Index n) { return t.size() == n && t.contiguous(); }

}  // namespace blocktrain::kernels::reference
