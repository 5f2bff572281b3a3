#pragma once
/// How often a counter moves, found by watching it. Between two moves a reading is old, and how old bounds what joules
/// of an interval may be off by.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "trainer/ledger/records.hpp"

namespace blocktrain::trainer {

struct UpdatePeriod {
  double seconds = -1;  ///< -1: not known
  std::string reason;   ///< why it is not known; empty when it is
};

/// The time and how to wait for it; a test brings its own.
struct PollClock {
  std::function<std::int64_t()> now = monotonic_ns;  ///< nanoseconds
  std::function<void(std::int64_t)> sleep;           ///< nanoseconds; empty: the thread sleeps
};

inline constexpr std::int64_t longest_watch_ns = 500'000'000;

/// The median time between moves of `read`, watched until enough were seen, for longest_watch_ns at most, however slow
/// `read` is (but for one call). `read` gives nothing when the counter cannot be read.
UpdatePeriod measure_update_period(const std::function<std::optional<std::uint64_t>()>& read, const PollClock& clock);

}  // namespace blocktrain::trainer
