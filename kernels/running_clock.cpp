#include "kernels/running_clock.hpp"

namespace blocktrain {
namespace {
constinit std::mutex mutex;
constinit RunningTime counted;
}  // namespace

RunningClock::time_point RunningClock::now() {
  // Under the lock, so that looks are counted in the order in which they were made.
  const std::lock_guard lock(mutex);
  return time_point(counted.look(std::chrono::steady_clock::now().time_since_epoch()));
}

}  // namespace blocktrain
