#include "trainer/ledger/energy/update_period.hpp"

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

namespace blocktrain::trainer {

UpdatePeriod measure_update_period(const std::function<std::optional<std::uint64_t>()>& read, const PollClock& clock) {
  constexpr std::int64_t pause_ns = 1'000'000;
  constexpr std::size_t enough = 15;  // periods; their median no longer moves much
  constexpr int most_polls = 1000;    // ends the watch even where the clock stands still

  std::vector<std::int64_t> periods;
  std::optional<std::uint64_t> last = read();
  std::int64_t moved_at = 0;
  int moves = 0;
  const std::int64_t end = clock.now() + longest_watch_ns;
  for (int poll = 0; last && poll < most_polls && periods.size() < enough; ++poll) {
    if (clock.sleep) {
      clock.sleep(pause_ns);
    } else {
      std::this_thread::sleep_for(std::chrono::nanoseconds(pause_ns));
    }
    const std::optional<std::uint64_t> value = read();
    const std::int64_t now = clock.now();
    if (value && *value != *last) {
      if (moves++ > 0) periods.push_back(now - moved_at);  // the first move ends a time whose begin was not seen
      moved_at = now;
    }
    last = value;
    if (now >= end) break;
  }
  if (!last) return {-1, "the counter could not be read while its update period was measured"};
  if (periods.empty()) {
    return {-1, moves == 0 ? "the counter did not move within 0.5 s at the start: the GPU was idle, or it moves rarely"
                           : "the counter moved only once within 0.5 s at the start"};
  }
  const auto middle = periods.begin() + static_cast<std::ptrdiff_t>(periods.size() / 2);
  std::nth_element(periods.begin(), middle, periods.end());
  return {static_cast<double>(*middle) * 1e-9, {}};
}

}  // namespace blocktrain::trainer
