#pragma once
/// The keys of the section `eval` that every task has.

#include <cstdint>
#include <string_view>
#include <vector>

#include "blocks/setting.hpp"

namespace blocktrain::trainer {

struct EvalConfig {
  std::int64_t every_steps = 0;  ///< held-out loss of a block while it trains; 0: only by `eval`
  std::int64_t heldout = 256;    ///< held-out samples per loss; the key is named after them
  std::int64_t batch = 0;        ///< samples at a time of `eval` and `generate`; 0: what suits the device

  /// `samples`: what the task's samples are called.
  void describe(std::string_view samples, std::vector<blocks::Setting>& out);
  bool operator==(const EvalConfig&) const = default;
};

}  // namespace blocktrain::trainer
