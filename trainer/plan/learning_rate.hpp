#pragma once
/// The learning rate of a step: linear warm-up, then cosine decay.

#include <cstdint>

#include "trainer/config/config.hpp"

namespace blocktrain::trainer {

/// Learning rate of update number `step` (from 0). Warm-up rises linearly and reaches learning_rate at step
/// warmup_steps; then half a cosine falls to final_fraction * learning_rate at decay_steps and stays there.
/// decay_steps 0: constant after warm-up. Computed in double.
double learning_rate(const OptimizerConfig& optimizer, std::int64_t decay_steps, std::int64_t step);

/// optimizer.decay_steps with -1 ("the whole run") put in numbers.
std::int64_t resolved_decay_steps(const Config& config);

}  // namespace blocktrain::trainer
