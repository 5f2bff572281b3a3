#pragma once
/// Numbers of tensors in host memory, whatever type they are stored in.

#include <bit>
#include <cstdint>
#include <stdexcept>

#include "kernels/tensor.hpp"

namespace blocktrain::kernels::testing {

/// Number `i` behind the tensor's first, in the order of memory.
inline double get(const Tensor& t, std::int64_t i) {
  switch (t.dtype) {
    case DType::float32:
      return static_cast<double>(t.as<float>()[i]);
    case DType::float64:
      return t.as<double>()[i];
    case DType::int32:
      return t.as<std::int32_t>()[i];
    case DType::bfloat16:
      return static_cast<double>(
          std::bit_cast<float>(static_cast<std::uint32_t>(static_cast<const std::uint16_t*>(t.data)[i]) << 16));
  }
  throw std::logic_error("unknown dtype");
}

/// The same, set to `value`, which is rounded to the tensor's type.
inline void set(const Tensor& t, std::int64_t i, double value) {
  switch (t.dtype) {
    case DType::float32:
      t.as<float>()[i] = static_cast<float>(value);
      return;
    case DType::float64:
      t.as<double>()[i] = value;
      return;
    case DType::int32:
      t.as<std::int32_t>()[i] = static_cast<std::int32_t>(value);
      return;
    case DType::bfloat16:
      static_cast<std::uint16_t*>(t.data)[i] = bfloat16_bits(static_cast<float>(value));
      return;
  }
  throw std::logic_error("unknown dtype");
}

}  // namespace blocktrain::kernels::testing
