#pragma once
/// The one way in which a file gets its name: written beside it, synced, renamed. Readers see the file of before or the
/// new one, whole, whatever happens in between. What went wrong is said by those who know what the file is for
/// (durable_file.hpp, whole_file.hpp): here it is an errno, 0 for nothing.

#include <cstddef>
#include <filesystem>
#include <span>

#include "trainer/support/file_system.hpp"

namespace blocktrain::trainer {

class AtomicFile {
 public:
  /// `aside`: its name until it is named, in the same folder as `target`.
  AtomicFile(std::filesystem::path target, std::filesystem::path aside);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  /// Removes the file aside unless rename() named it.
  ~AtomicFile();

  const std::filesystem::path& target() const { return target_; }
  int descriptor() const { return descriptor_.get(); }
  bool open() const { return descriptor_.open(); }

  /// Removes a leftover of that name. One that is not there is no error.
  int remove_leftover();
  /// Creates the file aside. Whatever appeared under its name meanwhile (a link, say) is not written through.
  int create();
  /// Appends one piece, as the system takes it; `done` is how much it took.
  int write_some(std::span<const std::byte> data, std::size_t& done);
  /// Returns when the contents are on the disk.
  int sync();
  /// Network file systems report lost writes here.
  int close() { return descriptor_.close(); }
  /// Gives it its name, replacing what had it. The name lasts once the folder is synced (sync_folder()).
  int rename();

 private:
  std::filesystem::path target_, aside_;
  FileDescriptor descriptor_;
  bool aside_exists_ = false;
};

}  // namespace blocktrain::trainer
