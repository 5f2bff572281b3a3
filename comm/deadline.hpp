#pragma once
/// When a wait ends.

#include <algorithm>
#include <chrono>

namespace blocktrain::comm {

using Clock = std::chrono::steady_clock;

/// Now plus `time`; a year bounds it, since milliseconds::max() would overflow the clock.
inline Clock::time_point deadline_after(std::chrono::milliseconds time) {
  return Clock::now() + std::min<std::chrono::milliseconds>(time, std::chrono::hours(24 * 365));
}

}  // namespace blocktrain::comm
