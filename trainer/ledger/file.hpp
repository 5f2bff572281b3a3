#pragma once
/// Calls of the operating system on files that may not fail unseen.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "trainer/support/file_system.hpp"

namespace blocktrain::trainer {

/// An open file; closes itself. Every call throws RunError naming the file and the system's words.
class File {
 public:
  File() = default;
  /// `flags` of open(2), O_CLOEXEC added.
  File(const std::string& path, int flags);

  bool is_open() const { return descriptor_.open(); }
  const std::string& path() const { return path_; }
  std::uint64_t size() const;
  /// Appends or writes at the current position, whole or not at all: what a full disk cut short is taken off again.
  /// Needs O_APPEND or a position at the end.
  void append(std::string_view data);
  /// Reads up to `size` bytes at `offset`; fewer only at the end of the file.
  std::size_t read_at(void* to, std::size_t size, std::uint64_t offset) const;
  void truncate(std::uint64_t size);
  /// Returns when the data is on the disk.
  void sync();
  /// Takes the one lock of this file. Throws InputError when another process holds it; on file systems without
  /// locks it does nothing.
  void lock(const std::string& what);
  void close();

 private:
  [[noreturn]] void fail(const char* call) const;

  std::string path_;
  FileDescriptor descriptor_;
};

/// rename(2).
void rename_file(const std::string& from, const std::string& to);

}  // namespace blocktrain::trainer
