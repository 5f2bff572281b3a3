#include <cmath>

#include "kernels/reference/index.hpp"
#include "kernels/reference/reference_backend.hpp"

namespace blocktrain::kernels {
using namespace reference;

void ReferenceBackend::sum_squares(StepState* state, const Tensor& x) {
  for (Index i = 0; i < x.shape[0]; ++i) {
    for (Index j = 0; j < x.row_size(); ++j) state->gradient_square_sum += at(x, i, j) * at(x, i, j);
  }
}

void ReferenceBackend::clip_gradient(StepState* state) {
  const double norm = std::sqrt(state->gradient_square_sum);
  if (!std::isfinite(norm)) state->finite = 0;
  const bool clip = state->clip_norm > 0 && norm > state->clip_norm;
  state->gradient_scale = clip ? static_cast<float>(state->clip_norm / norm) : 1.0f;
}

void ReferenceBackend::adamw(const Tensor& p, const Tensor& m, const Tensor& v, const Tensor& working, const Tensor& g,
                             const StepState* state, const AdamWParameters& parameters) {
  BLOCKTRAIN_EXPECTS(working.empty());
  if (state->finite == 0) return;
  const double beta1 = parameters.beta1, beta2 = parameters.beta2, rate = state->learning_rate;
  for (Index i = 0; i < p.size(); ++i) {
    double decay = parameters.weight_decay;
    for (const ElementRange& r : parameters.undecayed) {
      if (r.begin <= i && i < r.end) decay = 0;
    }
    const double gradient = g.as<double>()[i] * state->gradient_scale;
    double& weight = p.as<double>()[i];
    double& first = m.as<double>()[i];
    double& second = v.as<double>()[i];
    first = beta1 * first + (1 - beta1) * gradient;
    second = beta2 * second + (1 - beta2) * gradient * gradient;
    const double first_unbiased = first / state->bias_correction1;
    const double second_unbiased = second / state->bias_correction2;
    weight -= rate * decay * weight + rate * first_unbiased / (std::sqrt(second_unbiased) + parameters.epsilon);
  }
}

void ReferenceBackend::exponential_average(const Tensor& average, const Tensor& p, double decay,
                                           const StepState* state) {
  if (state->finite == 0) return;
  for (Index i = 0; i < p.size(); ++i) {
    average.as<double>()[i] = decay * average.as<double>()[i] + (1 - decay) * p.as<double>()[i];
  }
}

}  // namespace blocktrain::kernels
