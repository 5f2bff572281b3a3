#include "kernels/start_thread.hpp"

#include <pthread.h>

#include <csignal>
#include <cstring>
#include <system_error>
#include <utility>

#include "kernels/error.hpp"

namespace blocktrain {

std::thread start_thread_with_signals(const std::string& purpose, std::function<void()> work) {
  try {
    return std::thread(std::move(work));
  } catch (const std::system_error& e) {
    const int rank = process_rank();
    const std::string who = rank < 0 ? std::string() : "rank " + std::to_string(rank) + ": ";
    throw RunError(who + "the system gives no thread for " + purpose + " (" + std::strerror(e.code().value()) + "); " +
                   process_limits() +
                   "; raise what is too low (pids.max of a control group counts too), or use fewer threads "
                   "(parallel.threads) and ranks");
  }
}

std::thread start_thread(const std::string& purpose, std::function<void()> work) {
  sigset_t all, before;
  sigfillset(&all);
  // Faults of the thread itself stay as they are: while they are blocked, a handler would not be asked.
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT}) sigdelset(&all, fault);
  if (const int rc = pthread_sigmask(SIG_SETMASK, &all, &before); rc != 0) {
    throw_library_error("pthread_sigmask", __FILE__, __LINE__, std::strerror(rc));
  }
  const auto restore = [&] { pthread_sigmask(SIG_SETMASK, &before, nullptr); };
  try {
    std::thread thread = start_thread_with_signals(purpose, std::move(work));
    restore();
    return thread;
  } catch (...) {
    restore();
    throw;
  }
}

}  // namespace blocktrain
