#include "trainer/plan/learning_rate.hpp"

#include <cmath>
#include <numbers>

namespace blocktrain::trainer {

double learning_rate(const OptimizerConfig& optimizer, std::int64_t decay_steps, std::int64_t step) {
  const double peak = optimizer.learning_rate;
  if (step < optimizer.warmup_steps) {
    return peak * static_cast<double>(step + 1) / static_cast<double>(optimizer.warmup_steps + 1);
  }
  if (decay_steps <= 0) return peak;
  const double last = peak * optimizer.final_fraction;
  if (step >= decay_steps) return last;
  const double progress =
      static_cast<double>(step - optimizer.warmup_steps) / static_cast<double>(decay_steps - optimizer.warmup_steps);
  return last + (peak - last) * 0.5 * (1 + std::cos(std::numbers::pi * progress));
}

std::int64_t resolved_decay_steps(const Config& config) {
  return config.optimizer.decay_steps < 0 ? config.budget.steps : config.optimizer.decay_steps;
}

}  // namespace blocktrain::trainer
