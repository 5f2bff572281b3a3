#include "trainer/support/output.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>

#include "trainer/support/file_system.hpp"

namespace blocktrain::trainer {
namespace {

using Clock = std::chrono::steady_clock;

/// False where mpirun started this process and nobody reads mpirun's own output. mpirun goes on reading its ranks'
/// then, but ends the job after the eleventh write that fails, so they had better say no more. It is seen by opening
/// the pipe once more: one that nobody reads is in error.
bool launcher_is_read(int descriptor) noexcept {
  bool launched = false;
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"}) {
    launched = launched || std::getenv(name) != nullptr;
  }
  if (!launched) return true;
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%d/fd/%d", static_cast<int>(getppid()), descriptor);
  char target[64];
  const ssize_t n = readlink(path, target, sizeof target - 1);
  if (n <= 0 || !std::string_view(target, static_cast<std::size_t>(n)).starts_with("pipe:")) return true;
  const FileDescriptor pipe(::open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  if (!pipe.open()) return true;  // another user's
  pollfd end{pipe.get(), POLLOUT, 0};
  const bool gone = poll(&end, 1, 0) > 0 && (end.revents & POLLERR) != 0;
  return !gone;
}

/// Waits until `descriptor` takes something, an error included.
bool ready(int descriptor, Clock::time_point end) noexcept {
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
    pollfd waiting{descriptor, POLLOUT, 0};
    const int n = poll(&waiting, 1, static_cast<int>(std::max<std::int64_t>(left, 0)));
    if (n > 0) return true;
    if (n == 0 || errno != EINTR) return false;
  }
}

/// write_output() without its memory of the last text.
bool write_within(std::FILE* out, int descriptor, std::string_view text, std::chrono::milliseconds patience) noexcept {
  if (descriptor < 0) return std::fwrite(text.data(), 1, text.size(), out) == text.size();  // in memory
  if (!launcher_is_read(descriptor)) return false;
  const auto end = Clock::now() + patience;
  if (!ready(descriptor, end) || std::fflush(out) != 0) {
    std::clearerr(out);
    return false;
  }
  while (!text.empty()) {
    // A pipe that is ready takes this much without a wait.
    const std::size_t part = std::min<std::size_t>(text.size(), PIPE_BUF);
    if (!ready(descriptor, end)) return false;
    const ssize_t n = write(descriptor, text.data(), part);
    if (n < 0 && errno != EINTR && errno != EAGAIN) return false;
    if (n > 0) text.remove_prefix(static_cast<std::size_t>(n));
    if (n < 0 && Clock::now() > end) return false;
  }
  return true;
}

}  // namespace

bool write_output(std::FILE* out, std::string_view text, std::chrono::milliseconds patience) noexcept {
  // A reader that let the last text wait in vain gets no time for this one.
  static std::atomic<bool> is_waited_for[2] = {true, true};
  const int descriptor = fileno(out);
  std::atomic<bool>* const waited_for =
      descriptor == STDOUT_FILENO || descriptor == STDERR_FILENO ? &is_waited_for[descriptor - 1] : nullptr;
  if (waited_for != nullptr && !waited_for->load(std::memory_order_relaxed)) patience = std::chrono::milliseconds(0);
  const bool taken = write_within(out, descriptor, text, patience);
  if (waited_for != nullptr) waited_for->store(taken, std::memory_order_relaxed);
  return taken;
}

void complain(std::string_view text) noexcept {
  try {
    // A person may be waiting for the reason: more patience than for progress.
    write_output(stderr, "blocktrain: " + std::string(text) + "\n", std::chrono::seconds(2));
  } catch (const std::exception&) {
    // No memory for the words.
    write_output(stderr, text, std::chrono::seconds(2));
  }
}

void set_unread_output(UnreadOutput what) noexcept {
  std::signal(SIGPIPE, what == UnreadOutput::is_dropped ? SIG_IGN : SIG_DFL);
}

bool output_is_written() noexcept {
  const bool before = std::ferror(stdout) == 0;
  return std::fflush(stdout) == 0 && before;
}

}  // namespace blocktrain::trainer
