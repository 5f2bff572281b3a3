#pragma once
/// How long to pause between two looks at something that will happen on a device or in a library.

#include <algorithm>
#include <chrono>
#include <thread>

namespace blocktrain::comm {

/// Polls without a pause at first, then sleeps a 16th of the time waited so far: sleeping adds at most about 6 % to a
/// wait, and a long one costs almost no processor time.
class Backoff {
  using Clock = std::chrono::steady_clock;

 public:
  void pause() const {
    using std::chrono::microseconds;
    const auto waited = std::chrono::duration_cast<microseconds>(Clock::now() - start_);
    if (waited < microseconds(20)) return;
    std::this_thread::sleep_for(std::clamp(waited / 16, microseconds(20), microseconds(1000)));
  }

 private:
  Clock::time_point start_ = Clock::now();
};

}  // namespace blocktrain::comm
