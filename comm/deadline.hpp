#pragma once
/// When a wait ends.

#include <algorithm>
#include <chrono>

#include "kernels/running_clock.hpp"

namespace blocktrain::comm {

/// Now plus `time`; a year bounds it, since milliseconds::max() would overflow the clock.
inline RunningClock::time_point deadline_after(std::chrono::milliseconds time) {
  return RunningClock::now() + std::min<std::chrono::milliseconds>(time, std::chrono::hours(24 * 365));
}

}  // namespace blocktrain::comm
