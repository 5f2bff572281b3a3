#include "kernels/error.hpp"

#include <sys/resource.h>

#include <atomic>
#include <new>

namespace blocktrain {
namespace {

std::atomic<int> g_rank{-1};

/// "2048 MiB", or "unlimited".
std::string limit_in_mib(int resource) {
  struct rlimit limit {};
  if (getrlimit(resource, &limit) != 0) return "unknown";
  return limit.rlim_cur == RLIM_INFINITY ? "unlimited" : std::to_string(limit.rlim_cur >> 20) + " MiB";
}

std::string limit_in_units(int resource) {
  struct rlimit limit {};
  if (getrlimit(resource, &limit) != 0) return "unknown";
  return limit.rlim_cur == RLIM_INFINITY ? "unlimited" : std::to_string(limit.rlim_cur);
}

}  // namespace

int process_rank() noexcept { return g_rank.load(std::memory_order_relaxed); }
void set_process_rank(int rank) noexcept { g_rank.store(rank, std::memory_order_relaxed); }

std::string process_limits() {
  return "limits of this process: address space " + limit_in_mib(RLIMIT_AS) + " (ulimit -v), data " +
         limit_in_mib(RLIMIT_DATA) + " (ulimit -d), processes and threads of its user " + limit_in_units(RLIMIT_NPROC) +
         " (ulimit -u)";
}

std::string message_of(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) == nullptr) return error.what();
  return "out of memory; " + process_limits() +
         "; raise what is too low, or use a smaller data.micro_batch or eval.batch, fewer threads (parallel.threads) "
         "or "
         "fewer ranks";
}

void throw_library_error(const char* call, const char* file, int line, const std::string& detail) {
  const int rank = process_rank();
  const std::string who = rank < 0 ? std::string() : "rank " + std::to_string(rank) + ": ";
  throw LibraryError(who + call + " failed at " + file + ":" + std::to_string(line) + ": " + detail);
}

void throw_contract_violation(const char* condition, const char* file, int line) {
  throw std::logic_error(std::string("internal error, please report: expected ") + condition + " at " + file + ":" +
                         std::to_string(line));
}

}  // namespace blocktrain
