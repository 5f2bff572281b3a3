#pragma once
/// Values that are fine one by one and wrong together.

#include <string>
#include <string_view>
#include <vector>

#include "trainer/config/config.hpp"

namespace blocktrain::trainer {

struct Conflict {
  std::vector<std::string_view> keys;  ///< full names of the keys that disagree
  std::string text;                    ///< "found X; accepted: Y"
};

/// Every conflict between values that are each in their own range.
std::vector<Conflict> find_conflicts(const Config& config);

}  // namespace blocktrain::trainer
