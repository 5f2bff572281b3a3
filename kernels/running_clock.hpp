#pragma once
/// The clock of every wait that has a deadline: it counts the time in which this process itself ran. A process that was
/// stopped (Ctrl-Z, a debugger, a virtual machine that paused) heard nothing meanwhile, but neither was it listening,
/// so that time is no silence of others, and all processes of a run that were stopped together go on together.
///
/// Where a process is being stopped the system does not tell it; but somebody who waits looks at the clock again and
/// again, and what lies between two looks beyond RunningTime::longest_gap is taken to be such a stop. On a machine so
/// busy that a thread which wants to look waits longer than that, the clock runs slow: deadlines come later then, and
/// never early.

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>

namespace blocktrain {

/// How the clock counts, for times that are handed to it.
class RunningTime {
 public:
  using duration = std::chrono::nanoseconds;
  static constexpr duration longest_gap = std::chrono::milliseconds(500);

  /// The time that has been counted from the first look to this one, at `now` of a clock that never goes back.
  duration look(duration now) {
    if (looked_) counted_ += std::min(now - last_, longest_gap);
    looked_ = true;
    last_ = now;
    return counted_;
  }

 private:
  duration last_{0}, counted_{0};
  bool looked_ = false;
};

/// Of this process, for all of its threads. Meets the standard's requirements of a clock; but no wait of the standard
/// library looks at it often enough: wait_running() does.
struct RunningClock {
  using duration = RunningTime::duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<RunningClock>;
  static constexpr bool is_steady = true;
  static time_point now();
};

/// Longest time to wait without a look at RunningClock.
inline constexpr std::chrono::milliseconds longest_unwatched{200};

/// Waits for `changed` until `ready()`, at most until `end`; returns what ready() says then.
template <class Ready>
bool wait_running(std::condition_variable& changed, std::unique_lock<std::mutex>& lock, RunningClock::time_point end,
                  const Ready& ready) {
  while (!ready()) {
    const RunningClock::duration left = end - RunningClock::now();
    if (left <= RunningClock::duration::zero()) return false;
    changed.wait_for(lock, std::min<RunningClock::duration>(left, longest_unwatched));
  }
  return true;
}

}  // namespace blocktrain
