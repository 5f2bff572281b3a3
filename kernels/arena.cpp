#include "kernels/arena.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

namespace blocktrain::kernels {
namespace {
std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }
std::size_t page_size() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }
}  // namespace

Arena Arena::measuring(std::string purpose) {
  Arena a;
  a.purpose_ = std::move(purpose);
  return a;
}

Arena Arena::host(std::string purpose, std::size_t bytes) {
  Arena a;
  a.purpose_ = std::move(purpose);
  a.capacity_ = bytes;
  // At least one page, so that an arena nothing is bound in still has an address and does not look like a measuring
  // one.
  const std::size_t mapped = std::max(round_up(bytes, page_size()), page_size());
  void* p = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) {
    throw RunError("cannot take " + std::to_string(bytes) + " bytes of memory for " + a.purpose_ + ": " +
                   std::strerror(errno));
  }
  a.memory_ = static_cast<std::byte*>(p);
  return a;
}

Arena::Arena(Arena&& other) noexcept { *this = std::move(other); }

Arena& Arena::operator=(Arena&& other) noexcept {
  std::swap(purpose_, other.purpose_);
  std::swap(memory_, other.memory_);
  std::swap(capacity_, other.capacity_);
  std::swap(used_, other.used_);
  std::swap(peak_, other.peak_);
  return *this;
}

Arena::~Arena() {
  if (memory_ != nullptr) munmap(memory_, std::max(round_up(capacity_, page_size()), page_size()));
}

Tensor Arena::allocate(DType dtype, std::initializer_list<std::int64_t> dims) {
  Tensor t(nullptr, dtype, dims);
  const std::size_t start = round_up(used_, alignment);
  const std::size_t end = start + t.bytes();
  if (!measures_only()) {
    if (end > capacity_) {
      throw std::logic_error("internal error, please report: arena '" + purpose_ + "' of " + std::to_string(capacity_) +
                             " bytes is full");
    }
    t.data = memory_ + start;
  }
  used_ = end;
  peak_ = std::max(peak_, used_);
  return t;
}

std::size_t Arena::resident() const {
  if (memory_ == nullptr || capacity_ == 0) return 0;
  const std::size_t pages = round_up(capacity_, page_size()) / page_size();
  std::vector<unsigned char> present(pages);
  if (mincore(memory_, pages * page_size(), present.data()) != 0) return 0;
  const auto n = std::count_if(present.begin(), present.end(), [](unsigned char c) { return (c & 1) != 0; });
  return std::min(capacity_, static_cast<std::size_t>(n) * page_size());
}

}  // namespace blocktrain::kernels
