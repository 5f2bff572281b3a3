#include "trainer/run/stop_signal.hpp"

#include <atomic>
#include <csignal>

#include "kernels/error.hpp"

namespace blocktrain::trainer {
namespace {
std::atomic<bool> g_stop{false};
static_assert(std::atomic<bool>::is_always_lock_free, "the handler may only touch lock-free state");
void on_signal(int) { g_stop.store(true, std::memory_order_relaxed); }
}  // namespace

void install_stop_signals() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGUSR1, SIGTERM, SIGINT}) {
    if (sigaction(signal, &action, nullptr) != 0) {
      throw_library_error("sigaction", __FILE__, __LINE__, "cannot install the handler of a stop signal");
    }
  }
}

bool stop_requested() noexcept { return g_stop.load(std::memory_order_relaxed); }
void request_stop() noexcept { g_stop.store(true, std::memory_order_relaxed); }
void clear_stop_request() noexcept { g_stop.store(false, std::memory_order_relaxed); }

}  // namespace blocktrain::trainer
