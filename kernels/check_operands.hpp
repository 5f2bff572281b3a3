#pragma once
/// Conditions on operands, for Ops alone: none allocates or reads what a tensor holds, but for indices in host memory.

#include <cstdint>
#include <span>

#include "kernels/tensor.hpp"

namespace blocktrain::kernels::check {

inline bool same_shape(const Tensor& a, const Tensor& b) { return a.rank == b.rank && a.shape == b.shape; }
/// Of so many numbers without gaps, however they are arranged.
inline bool flat(const Tensor& t, std::int64_t size) { return t.size() == size && t.contiguous(); }
/// Rows of so many numbers each; they may be apart.
inline bool matrix(const Tensor& t, std::int64_t rows, std::int64_t columns) {
  return t.rank >= 1 && t.dim(0) == rows && t.row_size() == columns;
}
/// The same without gaps.
inline bool packed(const Tensor& t, std::int64_t rows, std::int64_t columns) {
  return matrix(t, rows, columns) && t.contiguous();
}
/// That what is written to begins elsewhere than what is read.
inline bool apart(const Tensor& written, const Tensor& read) {
  return written.data == nullptr || written.data != read.data;
}
template <class... More>
bool apart(const Tensor& written, const Tensor& first, const More&... more) {
  return (apart(written, first) && ... && apart(written, more));
}
/// All of one type.
template <class... More>
bool typed(DType dtype, const More&... tensors) {
  return ((tensors.dtype == dtype) && ...);
}

}  // namespace blocktrain::kernels::check
