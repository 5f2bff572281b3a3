#pragma once
/// Ends the test's process when a wait that should have ended by its deadline did not.

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>

namespace blocktrain::comm::test {

/// While it lives, `name` has `patience` to end; else the process ends with exit code 1 and a line on stderr. Far
/// longer than any deadline under test: it tells a hang from a wait, not a slow machine from a fast one.
class Watchdog {
 public:
  explicit Watchdog(const char* name, std::chrono::seconds patience = std::chrono::seconds(30))
      : thread_([this, name, patience] {
          std::unique_lock lock(mutex_);
          if (changed_.wait_for(lock, patience, [this] { return ended_; })) return;
          std::fprintf(stderr, "%s did not end: a deadline was not kept\n", name);
          std::_Exit(1);
        }) {}
  ~Watchdog() {
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
      changed_.notify_all();
    }
    thread_.join();
  }
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ended_ = false;
  std::thread thread_;
};

}  // namespace blocktrain::comm::test
