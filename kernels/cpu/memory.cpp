#include <algorithm>
#include <cstring>

#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/parallel.hpp"

namespace blocktrain::kernels {
namespace {

/// Calls f(start in a, start in b, count), in elements, for stretches that are contiguous in both tensors and together
/// make up the whole: the flat tensors in pieces, or row by row where rows are apart.
template <class F>
void for_each_stretch(int threads, const Tensor& a, const Tensor& b, F f) {
  if (a.contiguous() && b.contiguous()) {
    parallel_ranges(threads, a.size(), elementwise_piece,
                    [&](std::int64_t begin, std::int64_t end) { f(begin, begin, end - begin); });
    return;
  }
  const std::int64_t columns = a.row_size();
  const std::int64_t rows_of_a_piece =
      std::max<std::int64_t>(1, elementwise_piece / std::max<std::int64_t>(1, columns));
  parallel_ranges(threads, a.shape[0], rows_of_a_piece, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) f(r * a.row_stride, r * b.row_stride, columns);
  });
}

}  // namespace

void CpuBackend::fill(const Tensor& out, double value) {
  float* const o = out.as<float>();
  const float v = static_cast<float>(value);
  for_each_stretch(threads_, out, out,
                   [o, v](std::int64_t at, std::int64_t, std::int64_t count) { std::fill_n(o + at, count, v); });
}

void CpuBackend::copy(const Tensor& out, const Tensor& in) {
  // By bytes, so that labels can be copied as well.
  std::byte* const o = static_cast<std::byte*>(out.data);
  const std::byte* const x = static_cast<const std::byte*>(in.data);
  const std::int64_t element = static_cast<std::int64_t>(size_of(in.dtype));
  for_each_stretch(threads_, out, in, [=](std::int64_t to, std::int64_t from, std::int64_t count) {
    std::memcpy(o + to * element, x + from * element, static_cast<std::size_t>(count * element));
  });
}

void CpuBackend::convert(const Tensor& out, const Tensor& in) {
  copy(out.reshaped({out.size()}), in.reshaped({in.size()}));
}

void CpuBackend::add(const Tensor& out, const Tensor& in) {
  float* const o = out.as<float>();
  const float* const x = in.as<float>();
  for_each_stretch(threads_, out, in, [o, x](std::int64_t to, std::int64_t from, std::int64_t count) {
#pragma omp simd
    for (std::int64_t i = 0; i < count; ++i) o[to + i] += x[from + i];
  });
}

void CpuBackend::axpby(const Tensor& out, double a, const Tensor& x, double b, const Tensor& y) {
  float* const o = out.as<float>();
  const float* const px = x.as<float>();
  const float* const py = y.as<float>();
  const float fa = static_cast<float>(a), fb = static_cast<float>(b);
  parallel_ranges(threads_, out.size(), elementwise_piece, [=](std::int64_t begin, std::int64_t end) {
#pragma omp simd
    for (std::int64_t i = begin; i < end; ++i) o[i] = fa * px[i] + fb * py[i];
  });
}

}  // namespace blocktrain::kernels
