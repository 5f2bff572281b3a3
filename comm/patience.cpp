#include "comm/patience.hpp"

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "comm/deadline.hpp"

namespace blocktrain::comm {
namespace {

struct Shared {
  std::mutex mutex;
  std::condition_variable changed;
  bool ended = false;
};

}  // namespace

bool ends_within(std::chrono::milliseconds patience, std::function<void()> work) noexcept {
  try {
    const auto shared = std::make_shared<Shared>();
    std::thread([shared, work = std::move(work)]() mutable {
      try {
        work();
        work = nullptr;  // what it captured goes before its caller is told
      } catch (...) {
        // An end all the same: the caller asked whether the call returns.
      }
      const std::lock_guard lock(shared->mutex);
      shared->ended = true;
      shared->changed.notify_all();
    }).detach();
    std::unique_lock lock(shared->mutex);
    return shared->changed.wait_until(lock, deadline_after(patience), [&] { return shared->ended; });
  } catch (...) {
    return false;
  }
}

}  // namespace blocktrain::comm
