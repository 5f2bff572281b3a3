#include <cmath>
#include <numbers>

#include "kernels/reference/index.hpp"
#include "kernels/reference/reference_backend.hpp"

namespace blocktrain::kernels {
using namespace reference;
namespace {

const double root = std::sqrt(2 / std::numbers::pi);
constexpr double cubic = 0.044715;

double gelu(double x) { return 0.5 * x * (1 + std::tanh(root * (x + cubic * x * x * x))); }

double gelu_slope(double x) {
  const double t = std::tanh(root * (x + cubic * x * x * x));
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * root * (1 + 3 * cubic * x * x);
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double silu(double x) { return x * sigmoid(x); }
double silu_slope(double x) { return sigmoid(x) * (1 + x * (1 - sigmoid(x))); }

template <class Function>
void apply(const Tensor& out, const Tensor& x, Function f) {
  for (Index i = 0; i < x.size(); ++i) out.as<double>()[i] = f(x.as<double>()[i]);
}

template <class Function>
void chain(const Tensor& dx, const Tensor& dy, const Tensor& x, Function slope) {
  for (Index i = 0; i < x.size(); ++i) dx.as<double>()[i] = dy.as<double>()[i] * slope(x.as<double>()[i]);
}

}  // namespace

void ReferenceBackend::linear_gelu_forward(const Tensor& out, const Tensor& pre, const Tensor& x, const Tensor& weight,
                                           const Tensor& bias) {
  linear_forward(pre, x, weight, bias);
  gelu_forward(out, pre);
}

void ReferenceBackend::gelu_linear_backward(const Tensor& dpre, const Tensor& dpre_sums, const Tensor& dweight,
                                            const Tensor& dbias, const Tensor& dy, const Tensor& pre,
                                            const Tensor& weight, bool kept, GradientWrite write) {
  if (!kept) gelu_forward(dpre, pre);
  linear_backward({}, dweight, dbias, dy, dpre, weight, false, write);
  matmul(dpre, dy, false, weight, false, false);
  gelu_backward(dpre, dpre, pre);
  const Index columns = dpre.row_size();
  for (Index c = 0; c < columns; ++c) {
    double sum = write == GradientWrite::add ? dpre_sums.as<double>()[c] : 0;
    for (Index r = 0; r < dpre.dim(0); ++r) sum += dpre.as<double>()[r * columns + c];
    dpre_sums.as<double>()[c] = sum;
  }
}

void ReferenceBackend::gelu_forward(const Tensor& out, const Tensor& x) { apply(out, x, gelu); }
void ReferenceBackend::gelu_backward(const Tensor& dx, const Tensor& dy, const Tensor& x) {
  chain(dx, dy, x, gelu_slope);
}
void ReferenceBackend::silu_forward(const Tensor& out, const Tensor& x) { apply(out, x, silu); }
void ReferenceBackend::silu_backward(const Tensor& dx, const Tensor& dy, const Tensor& x) {
  chain(dx, dy, x, silu_slope);
}

}  // namespace blocktrain::kernels
