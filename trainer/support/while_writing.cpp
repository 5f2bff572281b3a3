#include "trainer/support/while_writing.hpp"

#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>

#include "kernels/error.hpp"
#include "kernels/running_clock.hpp"
#include "kernels/start_thread.hpp"

namespace blocktrain::trainer {

void while_writing(const std::function<void()>& write, const std::function<void()>& meanwhile,
                   std::chrono::milliseconds period, std::chrono::milliseconds patience) {
  std::mutex mutex;
  std::condition_variable ended;
  bool done = false;
  std::exception_ptr of_write, of_meanwhile;
  std::optional<std::thread> writer;
  try {
    writer = start_thread("writing a checkpoint", [&] {
      try {
        write();
      } catch (...) {
        of_write = std::current_exception();
      }
      const std::lock_guard lock(mutex);
      done = true;
      ended.notify_all();
    });
  } catch (const RunError&) {
    return write();
  }
  try {
    const RunningClock::time_point last = RunningClock::now() + patience;
    std::unique_lock lock(mutex);
    while (RunningClock::now() < last &&
           !wait_running(ended, lock, RunningClock::now() + period, [&] { return done; })) {
      lock.unlock();
      meanwhile();
      lock.lock();
    }
  } catch (...) {
    of_meanwhile = std::current_exception();
  }
  writer->join();
  if (of_write) std::rethrow_exception(of_write);
  if (of_meanwhile) std::rethrow_exception(of_meanwhile);
}

}  // namespace blocktrain::trainer
