#pragma once
/// Numbers as kernels see them: stored as float32 or bfloat16, computed with in float32; and 16 bytes of them at a
/// time, the widest access of a thread.

#include <cuda_bf16.h>

#include <cstdint>

#include "kernels/tensor.hpp"

namespace blocktrain::kernels::cuda {

using BFloat16 = __nv_bfloat16;

template <class T>
constexpr DType stored_type();
template <>
constexpr DType stored_type<float>() {
  return DType::float32;
}
template <>
constexpr DType stored_type<BFloat16>() {
  return DType::bfloat16;
}
template <>
constexpr DType stored_type<std::int32_t>() {
  return DType::int32;
}

/// Address of a tensor's first number; T has to be its type.
template <class T>
T* pointer(const Tensor& t) {
  BLOCKTRAIN_EXPECTS(t.dtype == stored_type<T>());
  return static_cast<T*>(t.data);
}
/// The same, null for an empty tensor.
template <class T>
T* pointer_or_null(const Tensor& t) {
  return t.empty() ? nullptr : pointer<T>(t);
}

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(BFloat16 x) { return __bfloat162float(x); }
template <class T>
__device__ T from_float(float x);
template <>
__device__ inline float from_float<float>(float x) {
  return x;
}
template <>
__device__ inline BFloat16 from_float<BFloat16>(float x) {
  return __float2bfloat16_rn(x);
}

template <class T>
constexpr int pack_size = 16 / static_cast<int>(sizeof(T));

/// 16 bytes of numbers.
template <class T>
struct alignas(16) Pack {
  T value[pack_size<T>];
};

template <class T>
__device__ Pack<T> load_pack(const T* from) {
  return *reinterpret_cast<const Pack<T>*>(from);
}
template <class T>
__device__ void store_pack(T* to, const Pack<T>& pack) {
  *reinterpret_cast<Pack<T>*>(to) = pack;
}

/// Whether packs may be read and written at `pointer`, and at steps of `stride` elements from it.
template <class T>
bool packs_at(const T* pointer, std::int64_t stride = 0) {
  return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0 && stride % pack_size<T> == 0;
}

/// Calls f(T{}) with the C++ type that `dtype` is stored as; float32 or bfloat16.
template <class F>
void with_stored_type(DType dtype, F&& f) {
  BLOCKTRAIN_EXPECTS(dtype == DType::float32 || dtype == DType::bfloat16);
  if (dtype == DType::float32) {
    f(float{});
  } else {
    f(BFloat16{});
  }
}

}  // namespace blocktrain::kernels::cuda
