#pragma once
/// Memory is planned, not discovered: every tensor of a run comes from an arena that was taken once, before
/// the first step. The same code that binds tensors for a run also prices them, on an arena that only
/// measures; so what `blocktrain plan` prints cannot drift from what a run takes.

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "kernels/tensor.hpp"

namespace blocktrain::kernels {

/// Where an arena's memory lies, and how it is given back and written.
struct MemoryKind {
  void (*release)(std::byte* memory, std::size_t bytes) noexcept;
  /// Writes from host memory; returns when it is done.
  void (*write)(void* to, const void* from, std::size_t bytes);
  bool on_host;  ///< the host reads and writes it directly
};

/// Bump allocator over one block of memory. Not thread-safe; bound before the first step, then only read.
class Arena {
 public:
  /// Every tensor starts at a multiple of this many bytes (a cache line, and the widest vector load).
  static constexpr std::size_t alignment = 64;

  /// An arena that hands out views without memory and only counts.
  static Arena measuring(std::string purpose);
  /// An arena of `bytes` of zeroed, page-aligned host memory. Throws RunError when the system refuses.
  static Arena host(std::string purpose, std::size_t bytes);
  /// An arena over zeroed memory of another kind (see Device), which it gives back at its end. `kind` lives on.
  static Arena over(std::string purpose, std::byte* memory, std::size_t bytes, const MemoryKind& kind);

  Arena(Arena&& other) noexcept;
  Arena& operator=(Arena&& other) noexcept;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena();

  /// A contiguous tensor, of zeros where nothing was bound before. Throws std::logic_error when the arena is full: the
  /// plan was wrong.
  Tensor allocate(DType dtype, std::initializer_list<std::int64_t> dims);
  /// Room for `bytes` bytes that are no tensor to the ops, rounded up to whole numbers.
  Tensor allocate_bytes(std::size_t bytes) {
    return allocate(DType::int32, {static_cast<std::int64_t>((bytes + 3) / 4)});
  }
  /// The same for a T, which is not constructed; null on a measuring arena.
  template <class T>
  T* room_for() {
    return static_cast<T*>(allocate_bytes(sizeof(T)).data);
  }
  /// Starts over at offset 0; earlier views alias what is bound next. For owners that take turns
  /// (several blocks on one rank share activations).
  void rewind() { used_ = 0; }
  /// How far the arena is bound now; rewind_to(mark()) later starts over from here, for owners that take turns behind
  /// what stays. A mark may lie ahead of what is bound, up to the peak.
  std::size_t mark() const { return used_; }
  void rewind_to(std::size_t mark) {
    BLOCKTRAIN_EXPECTS(mark <= peak_);
    used_ = mark;
  }

  /// An arena inside the memory of `room`, a tensor of this arena or of a measuring one; gives nothing back.
  Arena within(const Tensor& room) const;

  /// Sets a contiguous tensor of this arena to `values`, rounded to its type; for tables, before the first step.
  void write(const Tensor& tensor, std::span<const double> values) const;

  /// The host may read and write the arena's tensors directly.
  bool on_host() const { return kind_ == nullptr || kind_->on_host; }
  bool measures_only() const { return memory_ == nullptr; }
  const std::string& purpose() const { return purpose_; }
  /// The most bytes bound at one time, alignment included. On a measuring arena: the size to take.
  std::size_t peak() const { return peak_; }
  std::size_t capacity() const { return capacity_; }
  /// Start of the memory, null on a measuring arena.
  std::byte* data() const { return memory_; }
  /// Bytes of this arena that the operating system holds in RAM now (mincore): what a run really used. Memory that is
  /// not paged in on demand: all of it.
  std::size_t resident() const;

 private:
  Arena() = default;
  std::string purpose_;
  std::byte* memory_ = nullptr;
  const MemoryKind* kind_ = nullptr;
  std::size_t capacity_ = 0;
  std::size_t used_ = 0;
  std::size_t peak_ = 0;
};

}  // namespace blocktrain::kernels
