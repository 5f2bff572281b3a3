#pragma once
/// A tensor is a view: where the numbers are, of what type, in what shape. It owns nothing; memory comes
/// from an Arena. Everything that computes takes tensors through the Ops interface (ops.hpp).

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include "kernels/error.hpp"
#include "kernels/names.hpp"

namespace blocktrain::kernels {

/// A float32 rounded to the nearest bfloat16 (its upper half), ties to even; NaN stays NaN.
constexpr std::uint16_t bfloat16_bits(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>((bits >> 16) | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

enum class DType : std::uint8_t { float32, float64, int32, bfloat16 };
constexpr auto name_table(DType) { return names_up_to<DType::bfloat16>("float32", "float64", "int32", "bfloat16"); }

constexpr std::size_t size_of(DType t) { return t == DType::float64 ? 8 : t == DType::bfloat16 ? 2 : 4; }

/// The type of what must not be rounded to bfloat16 when a network computes in it: images, noise levels, losses,
/// statistics of rows, gradients of parameters. float32 for bfloat16, else the type itself.
constexpr DType precise(DType t) { return t == DType::bfloat16 ? DType::float32 : t; }

template <class T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<float>() {
  return DType::float32;
}
template <>
constexpr DType dtype_of<double>() {
  return DType::float64;
}
template <>
constexpr DType dtype_of<std::int32_t>() {
  return DType::int32;
}

/// View of up to four dimensions, row-major. Dimensions 1.. are contiguous; `row_stride` is the distance in
/// elements between neighbours of dimension 0, so a range of columns of a matrix is a view as well.
/// An empty view (data == nullptr and rank == 0) stands for "not wanted" in optional arguments.
struct Tensor {
  void* data = nullptr;
  DType dtype = DType::float32;
  int rank = 0;
  std::array<std::int64_t, 4> shape{1, 1, 1, 1};
  std::int64_t row_stride = 0;

  Tensor() = default;
  /// Contiguous view of `dims` (1 to 4 of them) at `memory`.
  Tensor(void* memory, DType type, std::initializer_list<std::int64_t> dims) : data(memory), dtype(type) {
    BLOCKTRAIN_EXPECTS(dims.size() >= 1 && dims.size() <= 4);
    for (const std::int64_t d : dims) shape[static_cast<std::size_t>(rank++)] = d;
    row_stride = row_size();
  }

  bool empty() const { return rank == 0; }
  /// Elements of one index of dimension 0 (the product of the other dimensions).
  std::int64_t row_size() const { return shape[1] * shape[2] * shape[3]; }
  std::int64_t size() const { return rank == 0 ? 0 : shape[0] * row_size(); }
  std::size_t bytes() const { return static_cast<std::size_t>(size()) * size_of(dtype); }
  bool contiguous() const { return row_stride == row_size() || shape[0] == 1; }
  std::int64_t dim(int i) const { return shape[static_cast<std::size_t>(i)]; }

  /// Typed pointer to the first element; T has to match dtype.
  template <class T>
  T* as() const {
    BLOCKTRAIN_EXPECTS(dtype == dtype_of<T>());
    return static_cast<T*>(data);
  }

  /// The same numbers in another shape of the same size; contiguous views only.
  Tensor reshaped(std::initializer_list<std::int64_t> dims) const {
    BLOCKTRAIN_EXPECTS(contiguous());
    Tensor t(data, dtype, dims);
    BLOCKTRAIN_EXPECTS(t.size() == size());
    return t;
  }
  /// Indices [begin, end) of dimension 0.
  Tensor rows(std::int64_t begin, std::int64_t end) const {
    BLOCKTRAIN_EXPECTS(0 <= begin && begin <= end && end <= shape[0]);
    Tensor t = *this;
    t.shape[0] = end - begin;
    t.data = offset(begin * row_stride);
    return t;
  }
  /// Columns [begin, end) of a matrix, as a strided view.
  Tensor columns(std::int64_t begin, std::int64_t end) const {
    BLOCKTRAIN_EXPECTS(rank == 2 && 0 <= begin && begin <= end && end <= shape[1]);
    Tensor t = *this;
    t.shape[1] = end - begin;
    t.data = offset(begin);
    return t;
  }

 private:
  void* offset(std::int64_t elements) const {
    // A view without memory (an arena that only measures) stays without memory.
    return data == nullptr ? nullptr
                           : static_cast<std::byte*>(data) + elements * static_cast<std::int64_t>(size_of(dtype));
  }
};

}  // namespace blocktrain::kernels
