#pragma once
/// The keys of the section `checkpoint`.

#include <cstdint>
#include <vector>

#include "blocks/setting.hpp"

namespace blocktrain::trainer {

struct CheckpointConfig {
  std::int64_t every_steps = 500;
  int keep = 2;

  void describe(std::vector<blocks::Setting>& out);
  bool operator==(const CheckpointConfig&) const = default;
};

}  // namespace blocktrain::trainer
