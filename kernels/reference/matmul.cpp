#include "kernels/reference/index.hpp"
#include "kernels/reference/reference_backend.hpp"

namespace blocktrain::kernels {
using namespace reference;

void ReferenceBackend::matmul(const Tensor& c, const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
                              bool accumulate) {
  const Index rows = c.shape[0];
  const Index columns = c.shape[1];
  const Index inner = transpose_a ? a.shape[0] : a.shape[1];
  for (Index i = 0; i < rows; ++i) {
    for (Index j = 0; j < columns; ++j) {
      double sum = 0;
      for (Index k = 0; k < inner; ++k) {
        sum += (transpose_a ? at(a, k, i) : at(a, i, k)) * (transpose_b ? at(b, j, k) : at(b, k, j));
      }
      at(c, i, j) = accumulate ? at(c, i, j) + sum : sum;
    }
  }
}

void ReferenceBackend::linear_forward(const Tensor& out, const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const Index rows = x.shape[0], inputs = x.shape[1], outputs = weight.shape[0];
  for (Index r = 0; r < rows; ++r) {
    for (Index n = 0; n < outputs; ++n) {
      double sum = bias.empty() ? 0.0 : at(bias, n);
      for (Index k = 0; k < inputs; ++k) sum += at(x, r, k) * at(weight, n, k);
      at(out, r, n) = sum;
    }
  }
}

void ReferenceBackend::linear_backward(const Tensor& dx, const Tensor& dweight, const Tensor& dbias, const Tensor& dy,
                                       const Tensor& x, const Tensor& weight, bool add_dx, GradientWrite write) {
  const Index rows = x.shape[0], inputs = x.shape[1], outputs = weight.shape[0];
  if (!dx.empty()) {
    for (Index r = 0; r < rows; ++r) {
      for (Index k = 0; k < inputs; ++k) {
        double sum = 0;
        for (Index n = 0; n < outputs; ++n) sum += at(dy, r, n) * at(weight, n, k);
        at(dx, r, k) = add_dx ? at(dx, r, k) + sum : sum;
      }
    }
  }
  for (Index n = 0; n < outputs; ++n) {
    for (Index k = 0; k < inputs; ++k) {
      if (write == GradientWrite::replace) at(dweight, n, k) = 0;
      for (Index r = 0; r < rows; ++r) at(dweight, n, k) += at(dy, r, n) * at(x, r, k);
    }
    if (dbias.empty()) continue;
    if (write == GradientWrite::replace) at(dbias, n) = 0;
    for (Index r = 0; r < rows; ++r) at(dbias, n) += at(dy, r, n);
  }
}

}  // namespace blocktrain::kernels
