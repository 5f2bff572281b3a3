#include <algorithm>
#include <cmath>

#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/parallel.hpp"

namespace blocktrain::kernels {

void CpuBackend::sum_squares(StepState* state, const Tensor& x) {
  // A fixed number of pieces at most, so that their sums fit on the stack; they are added up in order.
  constexpr std::int64_t most_pieces = 512;
  const std::int64_t size = x.size();
  const std::int64_t piece = std::max(elementwise_piece, (size + most_pieces - 1) / most_pieces);
  double sums[most_pieces];
  const float* const values = x.as<float>();
  parallel_ranges(threads_, size, piece, [&sums, values, piece](std::int64_t begin, std::int64_t end) {
    // Several registers of partial sums, so that an addition need not wait for the one before.
    constexpr std::int64_t lanes = 32;
    double partial[lanes] = {};
    const std::int64_t whole = begin + (end - begin) / lanes * lanes;
    for (std::int64_t i = begin; i < whole; i += lanes) {
#pragma omp simd
      for (std::int64_t lane = 0; lane < lanes; ++lane) {
        const double value = static_cast<double>(values[i + lane]);
        partial[lane] += value * value;
      }
    }
    double sum = 0;
    for (const double p : partial) sum += p;
    for (std::int64_t i = whole; i < end; ++i) {
      const double value = static_cast<double>(values[i]);
      sum += value * value;
    }
    sums[begin / piece] = sum;
  });
  for (std::int64_t i = 0; i * piece < size; ++i) state->gradient_square_sum += sums[i];
}

void CpuBackend::clip_gradient(StepState* state) {
  const double norm = std::sqrt(state->gradient_square_sum);
  if (!std::isfinite(norm)) state->finite = 0;
  const bool clip = state->clip_norm > 0 && norm > static_cast<double>(state->clip_norm);
  state->gradient_scale = clip ? static_cast<float>(static_cast<double>(state->clip_norm) / norm) : 1.0f;
}

void CpuBackend::adamw(const Tensor& p, const Tensor& m, const Tensor& v, const Tensor& working, const Tensor& g,
                       const StepState* state, const AdamWParameters& parameters) {
  BLOCKTRAIN_EXPECTS(working.empty());
  if (state->finite == 0) return;
  const double rate = static_cast<double>(state->learning_rate);
  // Moments move by 1 - beta of the way to the new value. As beta * old + (1 - beta) * new, the rounding of beta to
  // float32 would act in every step, in the same direction; so would that of the factor 1 - rate * decay.
  const float take1 = static_cast<float>(1 - parameters.beta1), take2 = static_cast<float>(1 - parameters.beta2);
  const float scale = state->gradient_scale;
  const float decayed = static_cast<float>(rate * parameters.weight_decay);
  // Both bias corrections leave the loop: m/c1 / (sqrt(v/c2) + eps) = sqrt(c2)/c1 * m / (sqrt(v) + eps sqrt(c2)).
  const double root = std::sqrt(static_cast<double>(state->bias_correction2));
  const float step = static_cast<float>(rate * root / static_cast<double>(state->bias_correction1));
  const float epsilon = static_cast<float>(parameters.epsilon * root);
  float* const weights = p.as<float>();
  float* const first = m.as<float>();
  float* const second = v.as<float>();
  const float* const gradients = g.as<float>();
  const auto update = [=, this](std::int64_t from, std::int64_t to, float shrink) {
    parallel_ranges(threads_, to - from, elementwise_piece, [=](std::int64_t begin, std::int64_t end) {
#pragma omp simd
      for (std::int64_t i = from + begin; i < from + end; ++i) {
        const float gradient = gradients[i] * scale;
        const float m_new = first[i] + take1 * (gradient - first[i]);
        const float v_new = second[i] + take2 * (gradient * gradient - second[i]);
        first[i] = m_new;
        second[i] = v_new;
        weights[i] -= shrink * weights[i] + step * m_new / (std::sqrt(v_new) + epsilon);
      }
    });
  };
  std::int64_t done = 0;
  if (parameters.weight_decay != 0) {
    for (const ElementRange& r : parameters.undecayed) {
      update(done, r.begin, decayed);
      update(r.begin, r.end, 0);
      done = r.end;
    }
  }
  update(done, p.size(), decayed);
}

void CpuBackend::exponential_average(const Tensor& average, const Tensor& p, double decay, const StepState* state) {
  if (state->finite == 0) return;
  float* const averages = average.as<float>();
  const float* const weights = p.as<float>();
  // As a correction, so that an average of equal weights stays exactly there; decay and 1 - decay, each rounded to
  // float32, would not add up to 1.
  const float take = static_cast<float>(1 - decay);
  parallel_ranges(threads_, p.size(), elementwise_piece, [=](std::int64_t begin, std::int64_t end) {
#pragma omp simd
    for (std::int64_t i = begin; i < end; ++i) averages[i] += take * (weights[i] - averages[i]);
  });
}

}  // namespace blocktrain::kernels
