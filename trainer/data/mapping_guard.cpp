#include "trainer/data/mapping_guard.hpp"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <string>

#include "kernels/error.hpp"

namespace blocktrain::trainer {

/// What the handler may look at: entries are never freed, only used again.
struct MappingGuard::Entry {
  std::atomic<std::uintptr_t> begin{0}, end{0};  ///< end 0: free
  std::atomic<bool> lost{false};
  Entry* next = nullptr;
};

namespace {

std::atomic<MappingGuard::Entry*> entries{nullptr};
std::mutex entries_mutex;  // of those that add and free, not of the handler
struct sigaction earlier {};
std::uintptr_t page_bytes = 0;

static_assert(std::atomic<std::uintptr_t>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

void on_bus_error(int signal, siginfo_t* info, void* context) {
  const int error = errno;
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  for (MappingGuard::Entry* e = entries.load(std::memory_order_acquire); e != nullptr; e = e->next) {
    const std::uintptr_t begin = e->begin.load(), end = e->end.load();
    if (address < begin || address >= end) continue;
    e->lost.store(true);  // before anybody can read zeros
    const std::uintptr_t page = address & ~(page_bytes - 1);
    void* zeros = mmap(reinterpret_cast<void*>(page), end - page, PROT_READ,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    if (zeros == MAP_FAILED) break;
    errno = error;
    return;  // the read is made again
  }
  errno = error;
  if ((earlier.sa_flags & SA_SIGINFO) != 0) return earlier.sa_sigaction(signal, info, context);
  if (earlier.sa_handler != SIG_DFL && earlier.sa_handler != SIG_IGN) return earlier.sa_handler(signal);
  // The read is made again, and ends the process as it would have without us.
  struct sigaction end_process {};
  end_process.sa_handler = SIG_DFL;
  sigaction(SIGBUS, &end_process, nullptr);
}

/// Makes ours the handler, where another library has put in its own since. Called under the mutex.
void install_handler() {
  struct sigaction now {};
  if (sigaction(SIGBUS, nullptr, &now) == 0) {
    if ((now.sa_flags & SA_SIGINFO) != 0 && now.sa_sigaction == on_bus_error) return;
    page_bytes = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
    earlier = now;
    struct sigaction action {};
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO;
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGBUS, &action, nullptr) == 0) return;
  }
  throw RunError(std::string("cannot watch for data files that are cut short: ") + std::strerror(errno));
}

}  // namespace

MappingGuard::MappingGuard(const void* begin, std::size_t size) : entry_(nullptr) {
  const std::lock_guard lock(entries_mutex);
  install_handler();
  for (Entry* e = entries.load(); e != nullptr && entry_ == nullptr; e = e->next) {
    if (e->end.load() == 0) entry_ = e;
  }
  if (entry_ == nullptr) {
    entry_ = new Entry;  // kept for good, see Entry
    entry_->next = entries.load();
    entries.store(entry_, std::memory_order_release);
  }
  entry_->lost.store(false);
  entry_->begin.store(reinterpret_cast<std::uintptr_t>(begin));
  entry_->end.store(reinterpret_cast<std::uintptr_t>(begin) + size);
}

MappingGuard::~MappingGuard() {
  const std::lock_guard lock(entries_mutex);
  entry_->end.store(0);
}

bool MappingGuard::lost() const { return entry_->lost.load(); }

}  // namespace blocktrain::trainer
