#pragma once
/// Values that are fine one by one and wrong together.

#include <vector>

#include "blocks/setting.hpp"
#include "trainer/config/config.hpp"

namespace blocktrain::trainer {

/// Every conflict between values that are each in their own range, as those say who declare the keys.
std::vector<blocks::Conflict> find_conflicts(const Config& config);

}  // namespace blocktrain::trainer
