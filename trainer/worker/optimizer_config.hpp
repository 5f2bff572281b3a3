#pragma once
/// The keys of the section `optimizer`.

#include <cstdint>
#include <vector>

#include "blocks/setting.hpp"

namespace blocktrain::trainer {

struct OptimizerConfig {
  double learning_rate = 1e-4;
  double weight_decay = 0;
  std::vector<double> betas{0.9, 0.999};
  double epsilon = 1e-8;
  double clip_norm = 1.0;  ///< per block; 0: none
  std::int64_t warmup_steps = 0;
  std::int64_t decay_steps = -1;  ///< cosine from the end of warm-up to this step; -1: budget.steps; 0: constant
  double final_fraction = 0;      ///< learning rate at the end of the decay, as a fraction of learning_rate
  double average_decay = 0;       ///< exponential moving average of the weights, used by eval and generate; 0: off

  void describe(std::vector<blocks::Setting>& out);
  void check(std::vector<blocks::Conflict>& out) const;
  bool operator==(const OptimizerConfig&) const = default;
};

}  // namespace blocktrain::trainer
