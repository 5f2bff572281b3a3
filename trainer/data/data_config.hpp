#pragma once
/// The keys of the section `data` that every task has.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "blocks/setting.hpp"

namespace blocktrain::trainer {

/// Most classes that a data set may have.
inline constexpr std::int64_t most_classes = 65536;

struct DataConfig {
  std::string path;              ///< required
  std::int64_t batch = 128;      ///< samples per step and block
  std::int64_t micro_batch = 0;  ///< samples per forward/backward pass; 0: chosen by the plan

  void describe(std::vector<blocks::Setting>& out);
  void check(std::vector<blocks::Conflict>& out) const;
  bool operator==(const DataConfig&) const = default;
};

}  // namespace blocktrain::trainer
