#pragma once
/// Memory-mapped files whose bytes go away while they are read: a file that another program cuts short, a file server
/// that is lost. The system then sends SIGBUS to the thread that reads, which would end the process without a word.

#include <cstddef>

namespace blocktrain::trainer {

/// Watches over one mapping. Where a page of it cannot be read any more, the reader finds zeros there and at all later
/// places of the mapping, and lost() says so: what was read has to be asked about afterwards, and thrown away.
///
/// A guard sees to it that a handler of ours stands for SIGBUS, which the threads that read must not block; what is not
/// about a guarded mapping goes on to the handler that was there before. Neither readers nor the handler jump or lock.
class MappingGuard {
 public:
  /// `begin` is where a mapping of `size` bytes begins; it outlives the guard. Throws RunError when the handler cannot
  /// be installed.
  MappingGuard(const void* begin, std::size_t size);
  ~MappingGuard();
  MappingGuard(const MappingGuard&) = delete;
  MappingGuard& operator=(const MappingGuard&) = delete;

  /// Whether bytes could not be read. Stays true.
  bool lost() const;

  struct Entry;

 private:
  Entry* entry_;
};

}  // namespace blocktrain::trainer
