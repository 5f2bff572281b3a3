#include "trainer/support/stop_signal.hpp"

#include <atomic>
#include <csignal>

#include "kernels/error.hpp"
#include "trainer/support/before_libraries.hpp"

namespace blocktrain::trainer {
namespace {

std::atomic<bool> g_stop{false};
static_assert(std::atomic<bool>::is_always_lock_free, "the handler may only touch lock-free state");
void on_signal(int) { g_stop.store(true, std::memory_order_relaxed); }

/// Whether the program was started to outlive its terminal, as by nohup. Asked before any library begins: some put a
/// handler of their own where SIGHUP was ignored (UCX's, which Open MPI may bring along, is for its debugging).
volatile std::sig_atomic_t g_hangup_ignored = 0;
void look_at_hangup() {
  struct sigaction before {};
  if (sigaction(SIGHUP, nullptr, &before) == 0 && before.sa_handler == SIG_IGN) g_hangup_ignored = 1;
}
BLOCKTRAIN_BEFORE_LIBRARIES(look_at_hangup)

void check(int result) {
  if (result == 0) return;
  throw_library_error("sigaction", __FILE__, __LINE__, "cannot install the handler of a stop signal");
}

}  // namespace

void install_stop_signals() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGUSR1, SIGUSR2, SIGTERM, SIGINT, SIGXCPU, SIGHUP}) {
    if (signal == SIGHUP) {
      look_at_hangup();
      if (g_hangup_ignored != 0) {  // nohup: it is to go on when the terminal is closed
        struct sigaction ignore {};
        ignore.sa_handler = SIG_IGN;
        check(sigaction(signal, &ignore, nullptr));
        continue;
      }
    }
    check(sigaction(signal, &action, nullptr));
  }
}

bool stop_requested() noexcept { return g_stop.load(std::memory_order_relaxed); }
void request_stop() noexcept { g_stop.store(true, std::memory_order_relaxed); }
void clear_stop_request() noexcept { g_stop.store(false, std::memory_order_relaxed); }

}  // namespace blocktrain::trainer
