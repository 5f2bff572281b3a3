#pragma once
/// Whether a data file that is mapped into memory is still the one that was opened.

#include <sys/stat.h>

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "trainer/data/mapping_guard.hpp"
#include "trainer/support/file_system.hpp"

namespace blocktrain::trainer {

/// Looks at one open file. Its size and its time of modification are what tells: a file that was merely touched, as
/// people do on file systems that remove old files, is compared with what was read of it in the beginning.
class FileWatch {
 public:
  /// `file` was opened for reading and whose `bytes` (all of them) are mapped.
  /// `status` is from before the mapping. `name` stands in messages.
  FileWatch(FileDescriptor file, const struct stat& status, std::span<const std::uint8_t> bytes, std::string name);
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;

  /// Keeps up to 64 evenly spaced pieces of 4 KiB to compare with later. Before it, a file that was touched counts as
  /// changed.
  void remember();

  /// Throws RunError when the file is shorter or longer than it was, cannot be read any more, or was written to so that
  /// the pieces differ. Allocates nothing while the file rests. Any thread may call.
  void check();
  /// A sentence for people when a check found the file touched, once for each time.
  std::optional<std::string> touched();

 private:
  std::vector<std::uint8_t> pieces() const;

  const FileDescriptor file_;
  const std::span<const std::uint8_t> bytes_;
  const std::string name_;
  MappingGuard guard_;
  const std::int64_t size_;
  std::mutex mutex_;
  struct timespec modified_;  ///< as accepted last
  std::vector<std::uint8_t> remembered_;
  bool touched_ = false;
  /// While somebody writes, the time of modification may stand still for moments: so long it is compared every time.
  std::optional<std::chrono::steady_clock::time_point> compare_until_;
};

}  // namespace blocktrain::trainer
