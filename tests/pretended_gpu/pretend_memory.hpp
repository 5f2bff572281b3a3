#pragma once
/// The memory of pretended GPUs: pages that the process may not touch, except while the pretended GPU itself works. A
/// host that reads or writes them, as it may those of a CPU, ends with a memory fault instead of passing unnoticed.

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <map>
#include <new>
#include <stdexcept>

namespace blocktrain::trainer::testing {

/// One for all pretended GPUs of a process; they are used by one thread.
class PretendMemory {
 public:
  /// Zeroed memory of at least `bytes`.
  static std::byte* take(std::size_t bytes) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t mapped = (std::max<std::size_t>(bytes, 1) + page - 1) / page * page;
    void* memory = mmap(nullptr, mapped, working_ > 0 ? open : shut, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    pieces_[static_cast<std::byte*>(memory)] = mapped;
    return static_cast<std::byte*>(memory);
  }
  static void release(std::byte* memory) noexcept {
    const auto found = pieces_.find(memory);
    munmap(memory, found->second);
    pieces_.erase(found);
  }
  /// Whether all of [p, p + bytes) lies in one piece.
  static bool holds(const void* p, std::size_t bytes) {
    const auto* first = static_cast<const std::byte*>(p);
    auto piece = pieces_.upper_bound(const_cast<std::byte*>(first));
    if (piece == pieces_.begin()) return false;
    --piece;
    return std::less_equal<>()(first + bytes, piece->first + piece->second);
  }

  /// The pretended GPU works: its memory is open to it.
  class Working {
   public:
    Working() {
      if (working_++ == 0) protect(open);
    }
    ~Working() {
      if (--working_ == 0) protect(shut);
    }
    Working(const Working&) = delete;
    Working& operator=(const Working&) = delete;
  };

 private:
  static constexpr int open = PROT_READ | PROT_WRITE, shut = PROT_NONE;

  static void protect(int how) {
    for (const auto& [memory, bytes] : pieces_) {
      if (mprotect(memory, bytes, how) != 0) std::terminate();
    }
  }

  static inline std::map<std::byte*, std::size_t> pieces_;
  static inline int working_ = 0;
};

}  // namespace blocktrain::trainer::testing
