#include <cmath>

#include "kernels/reference/index.hpp"
#include "kernels/reference/reference_backend.hpp"

namespace blocktrain::kernels {
using namespace reference;

void ReferenceBackend::norm_modulate_forward(const Tensor& out, const Tensor& mean, const Tensor& rstd, const Tensor& x,
                                             const Tensor& shift, const Tensor& scale, double epsilon) {
  const Index samples = x.shape[0], tokens = x.shape[1], width = x.shape[2];
  for (Index n = 0; n < samples; ++n) {
    for (Index t = 0; t < tokens; ++t) {
      double m = 0;
      for (Index c = 0; c < width; ++c) m += at(x, n, t, c);
      m /= static_cast<double>(width);
      double variance = 0;
      for (Index c = 0; c < width; ++c) variance += (at(x, n, t, c) - m) * (at(x, n, t, c) - m);
      variance /= static_cast<double>(width);
      const double r = 1 / std::sqrt(variance + epsilon);
      at(mean, n, t) = m;
      at(rstd, n, t) = r;
      for (Index c = 0; c < width; ++c) {
        at(out, n, t, c) = (at(x, n, t, c) - m) * r * (1 + at(scale, n, c)) + at(shift, n, c);
      }
    }
  }
}

void ReferenceBackend::norm_modulate_backward(const Tensor& dx, const Tensor& dshift, const Tensor& dscale,
                                              const Tensor& dout, const Tensor& x, const Tensor& mean,
                                              const Tensor& rstd, const Tensor& scale) {
  const Index samples = x.shape[0], tokens = x.shape[1], width = x.shape[2];
  for (Index n = 0; n < samples; ++n) {
    for (Index c = 0; c < width; ++c) at(dshift, n, c) = at(dscale, n, c) = 0;
    for (Index t = 0; t < tokens; ++t) {
      const double m = at(mean, n, t), r = at(rstd, n, t);
      // With h = (x - mean) * rstd and g = dout * (1 + scale), the gradient through mean and variance is
      // dx = rstd * (g - average(g) - h * average(g h)).
      double average_g = 0, average_gh = 0;
      for (Index c = 0; c < width; ++c) {
        const double h = (at(x, n, t, c) - m) * r;
        const double g = at(dout, n, t, c) * (1 + at(scale, n, c));
        average_g += g / static_cast<double>(width);
        average_gh += g * h / static_cast<double>(width);
        at(dshift, n, c) += at(dout, n, t, c);
        at(dscale, n, c) += at(dout, n, t, c) * h;
      }
      for (Index c = 0; c < width; ++c) {
        const double h = (at(x, n, t, c) - m) * r;
        const double g = at(dout, n, t, c) * (1 + at(scale, n, c));
        at(dx, n, t, c) += r * (g - average_g - h * average_gh);
      }
    }
  }
}

void ReferenceBackend::gated_residual_forward(const Tensor& out, const Tensor& x, const Tensor& h, const Tensor& gate) {
  for (Index n = 0; n < x.shape[0]; ++n) {
    for (Index t = 0; t < x.shape[1]; ++t) {
      for (Index c = 0; c < x.shape[2]; ++c) at(out, n, t, c) = at(x, n, t, c) + at(gate, n, c) * at(h, n, t, c);
    }
  }
}

void ReferenceBackend::gated_residual_backward(const Tensor& dh, const Tensor& dgate, const Tensor& dout,
                                               const Tensor& h, const Tensor& gate) {
  for (Index n = 0; n < h.shape[0]; ++n) {
    for (Index c = 0; c < h.shape[2]; ++c) {
      double sum = 0;
      for (Index t = 0; t < h.shape[1]; ++t) {
        sum += at(dout, n, t, c) * at(h, n, t, c);
        at(dh, n, t, c) = at(gate, n, c) * at(dout, n, t, c);
      }
      at(dgate, n, c) = sum;
    }
  }
}

}  // namespace blocktrain::kernels
