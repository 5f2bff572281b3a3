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
/// At least one page, so that an arena nothing is bound in still has an address and does not look like a measuring one.
std::size_t mapped(std::size_t bytes) { return std::max(round_up(bytes, page_size()), page_size()); }

const MemoryKind host_memory{
    [](std::byte* memory, std::size_t bytes) noexcept { munmap(memory, mapped(bytes)); },
    [](void* to, const void* from, std::size_t bytes) { std::memcpy(to, from, bytes); },
    true,
};

template <class T, class F>
void write_as(const MemoryKind& kind, const Tensor& tensor, std::span<const double> values, F convert) {
  std::vector<T> converted;
  converted.reserve(values.size());
  for (const double v : values) converted.push_back(convert(v));
  kind.write(tensor.data, converted.data(), tensor.bytes());
}
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
  void* p = mmap(nullptr, mapped(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) {
    throw RunError("cannot take " + std::to_string(bytes) + " bytes of memory for " + a.purpose_ + ": " +
                   std::strerror(errno) + "; " + process_limits() +
                   "; raise what is too low, or ask for less: a smaller data.micro_batch or eval.batch, fewer threads "
                   "(parallel.threads) or ranks");
  }
  a.memory_ = static_cast<std::byte*>(p);
  a.kind_ = &host_memory;
  return a;
}

Arena Arena::over(std::string purpose, std::byte* memory, std::size_t bytes, const MemoryKind& kind) {
  BLOCKTRAIN_EXPECTS(memory != nullptr);
  Arena a;
  a.purpose_ = std::move(purpose);
  a.memory_ = memory;
  a.capacity_ = bytes;
  a.kind_ = &kind;
  return a;
}

Arena Arena::within(const Tensor& room) const {
  if (measures_only()) return measuring(purpose_);
  static const MemoryKind on_host{[](std::byte*, std::size_t) noexcept {}, host_memory.write, true};
  static const MemoryKind elsewhere{[](std::byte*, std::size_t) noexcept {}, nullptr, false};
  return over(purpose_, static_cast<std::byte*>(room.data), room.bytes(), kind_->on_host ? on_host : elsewhere);
}

void Arena::write(const Tensor& tensor, std::span<const double> values) const {
  BLOCKTRAIN_EXPECTS(!measures_only() && tensor.contiguous());
  BLOCKTRAIN_EXPECTS(static_cast<std::size_t>(tensor.size()) == values.size());
  switch (tensor.dtype) {
    case DType::float64:
      return write_as<double>(*kind_, tensor, values, [](double v) { return v; });
    case DType::float32:
      return write_as<float>(*kind_, tensor, values, [](double v) { return static_cast<float>(v); });
    case DType::bfloat16:
      return write_as<std::uint16_t>(*kind_, tensor, values,
                                     [](double v) { return bfloat16_bits(static_cast<float>(v)); });
    case DType::int32:
      return write_as<std::int32_t>(*kind_, tensor, values, [](double v) { return static_cast<std::int32_t>(v); });
  }
}

Arena::Arena(Arena&& other) noexcept { *this = std::move(other); }

Arena& Arena::operator=(Arena&& other) noexcept {
  std::swap(purpose_, other.purpose_);
  std::swap(memory_, other.memory_);
  std::swap(kind_, other.kind_);
  std::swap(capacity_, other.capacity_);
  std::swap(used_, other.used_);
  std::swap(peak_, other.peak_);
  return *this;
}

Arena::~Arena() {
  if (memory_ != nullptr) kind_->release(memory_, capacity_);
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
  if (kind_ != &host_memory) return capacity_;
  const std::size_t pages = round_up(capacity_, page_size()) / page_size();
  std::vector<unsigned char> present(pages);
  if (mincore(memory_, pages * page_size(), present.data()) != 0) return 0;
  const auto n = std::count_if(present.begin(), present.end(), [](unsigned char c) { return (c & 1) != 0; });
  return std::min(capacity_, static_cast<std::size_t>(n) * page_size());
}

}  // namespace blocktrain::kernels
