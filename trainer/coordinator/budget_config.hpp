#pragma once
/// The keys of the section `budget`.

#include <cstdint>
#include <vector>

#include "blocks/setting.hpp"

namespace blocktrain::trainer {

struct BudgetConfig {
  std::int64_t steps = 1000;                                ///< per block
  double tokens = 0, joules = 0, dollars = 0, seconds = 0;  ///< per run; 0: no limit

  void describe(std::vector<blocks::Setting>& out);
  bool operator==(const BudgetConfig&) const = default;
};

}  // namespace blocktrain::trainer
