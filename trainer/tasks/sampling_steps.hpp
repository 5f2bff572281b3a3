#pragma once
/// The key eval.steps, of tasks whose quality is measured by sampling.

#include <algorithm>
#include <string>
#include <vector>

#include "blocks/setting.hpp"

namespace blocktrain::trainer {

inline blocks::Setting sampling_steps_setting(std::vector<int>& steps) {
  return {"eval", "steps", blocks::IntListValue{&steps, {1, 100000}, {1, 64}},
          "Numbers of sampling steps to compare, each once."};
}

inline void check_sampling_steps(const std::vector<int>& steps, std::vector<blocks::Conflict>& out) {
  std::vector<int> sorted = steps;
  std::sort(sorted.begin(), sorted.end());
  if (const auto twice = std::adjacent_find(sorted.begin(), sorted.end()); twice != sorted.end()) {
    out.push_back({{"eval.steps"}, "found " + std::to_string(*twice) + " twice; accepted: each number of steps once"});
  }
}

}  // namespace blocktrain::trainer
