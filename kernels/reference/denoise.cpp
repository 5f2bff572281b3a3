#include <cmath>

#include "kernels/reference/index.hpp"
#include "kernels/reference/reference_backend.hpp"

namespace blocktrain::kernels {
using namespace reference;
namespace {

/// Preconditioning of one sample (method: section 1, preconditioning and weight).
struct Preconditioning {
  Preconditioning(double s, double sd)
      : c_skip(sd * sd / (s * s + sd * sd)),
        c_out(s * sd / std::sqrt(s * s + sd * sd)),
        edm_weight((s * s + sd * sd) / ((s * sd) * (s * sd))) {}
  double c_skip, c_out, edm_weight;
};

}  // namespace

void ReferenceBackend::denoised(const Tensor& d, const Tensor& z, const Tensor& f, const Tensor& sigma,
                                double sigma_data) {
  for (Index n = 0; n < z.shape[0]; ++n) {
    const Preconditioning c(at(sigma, n), sigma_data);
    for (Index e = 0; e < z.row_size(); ++e) at(d, n, e) = c.c_skip * at(z, n, e) + c.c_out * at(f, n, e);
  }
}

void ReferenceBackend::denoise_loss(const Tensor& loss, const Tensor& mse, const Tensor& df, const Tensor& z,
                                    const Tensor& y, const Tensor& f, const Tensor& sigma, double sigma_data,
                                    LossWeighting weighting, double loss_scale) {
  const Index samples = z.shape[0], elements = z.row_size();
  for (Index n = 0; n < samples; ++n) {
    const Preconditioning c(at(sigma, n), sigma_data);
    const double weight = weighting == LossWeighting::edm ? c.edm_weight : 1.0;
    double sum = 0;
    for (Index e = 0; e < elements; ++e) {
      const double error = c.c_skip * at(z, n, e) + c.c_out * at(f, n, e) - at(y, n, e);
      sum += error * error;
      if (!df.empty()) at(df, n, e) = loss_scale * weight * 2 * error * c.c_out / static_cast<double>(elements);
    }
    at(mse, n) = sum / static_cast<double>(elements);
    at(loss, n) = weight * at(mse, n);
  }
}

void ReferenceBackend::add_losses(StepState* state, const Tensor& loss, const Tensor& mse) {
  for (std::int64_t n = 0; n < loss.size(); ++n) {
    state->loss_sum += static_cast<double>(loss.as<double>()[n]);
    state->mse_sum += static_cast<double>(mse.as<double>()[n]);
  }
}

}  // namespace blocktrain::kernels
