#include <cstring>

#include "kernels/reference/index.hpp"
#include "kernels/reference/reference_backend.hpp"

namespace blocktrain::kernels {
using namespace reference;

void ReferenceBackend::fill(const Tensor& out, double value) {
  for (Index i = 0; i < out.shape[0]; ++i) {
    for (Index j = 0; j < out.row_size(); ++j) at(out, i, j) = value;
  }
}

void ReferenceBackend::copy(const Tensor& out, const Tensor& in) {
  // By bytes, so that labels can be copied as well.
  const Index element = static_cast<Index>(size_of(in.dtype));
  for (Index i = 0; i < in.shape[0]; ++i) {
    std::memmove(static_cast<std::byte*>(out.data) + i * out.row_stride * element,
                 static_cast<const std::byte*>(in.data) + i * in.row_stride * element,
                 static_cast<std::size_t>(in.row_size() * element));
  }
}

void ReferenceBackend::convert(const Tensor& out, const Tensor& in) {
  const auto read = [&](Index i) {
    return in.dtype == DType::float32 ? static_cast<double>(in.as<float>()[i]) : in.as<double>()[i];
  };
  for (Index i = 0; i < out.size(); ++i) {
    if (out.dtype == DType::float32) {
      out.as<float>()[i] = static_cast<float>(read(i));
    } else {
      out.as<double>()[i] = read(i);
    }
  }
}

void ReferenceBackend::add(const Tensor& out, const Tensor& in) {
  for (Index i = 0; i < in.shape[0]; ++i) {
    for (Index j = 0; j < in.row_size(); ++j) at(out, i, j) += at(in, i, j);
  }
}

void ReferenceBackend::axpby(const Tensor& out, double a, const Tensor& x, double b, const Tensor& y) {
  for (Index i = 0; i < out.shape[0]; ++i) {
    for (Index j = 0; j < out.row_size(); ++j) at(out, i, j) = a * at(x, i, j) + b * at(y, i, j);
  }
}

}  // namespace blocktrain::kernels
