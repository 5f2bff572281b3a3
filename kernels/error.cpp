#include "kernels/error.hpp"

#include <atomic>

namespace blocktrain {
namespace {
std::atomic<int> g_rank{-1};
}

int process_rank() noexcept { return g_rank.load(std::memory_order_relaxed); }
void set_process_rank(int rank) noexcept { g_rank.store(rank, std::memory_order_relaxed); }

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
