#include "comm/patience.hpp"

#include <condition_variable>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "comm/deadline.hpp"

namespace blocktrain::comm {
namespace {

struct Shared {
  std::function<void()> work;
  std::mutex mutex;
  std::condition_variable changed;
  bool ended = false;
};

}  // namespace

bool ends_within(std::chrono::milliseconds patience, std::function<void()> work) noexcept {
  try {
    const auto shared = std::make_shared<Shared>();
    shared->work = std::move(work);
    try {
      std::thread([shared] {
        try {
          shared->work();
        } catch (...) {
          // An end all the same: the caller asked whether the call returns.
        }
        shared->work = nullptr;  // what it captured goes before the caller is told
        const std::lock_guard lock(shared->mutex);
        shared->ended = true;
        shared->changed.notify_all();
      }).detach();
    } catch (const std::system_error&) {
      // The call was not made, so a library may go on using what it would have ended: never freed.
      (void)new std::shared_ptr<Shared>(shared);
      return false;
    }
    std::unique_lock lock(shared->mutex);
    return wait_running(shared->changed, lock, deadline_after(patience), [&] { return shared->ended; });
  } catch (...) {
    return false;
  }
}

}  // namespace blocktrain::comm
