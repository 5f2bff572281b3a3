#pragma once
/// The few calls to the operating system that files are read and made with, with their errors in words.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace blocktrain::trainer {

/// Owner of a file descriptor.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int descriptor) noexcept : descriptor_(descriptor) {}
  FileDescriptor(FileDescriptor&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor();

  int get() const noexcept { return descriptor_; }
  bool open() const noexcept { return descriptor_ >= 0; }
  /// Closes now and returns errno, 0 when all is well. Network file systems report lost writes here.
  int close() noexcept;

 private:
  int descriptor_ = -1;
};

/// A regular file opened for reading.
struct RegularFile {
  FileDescriptor descriptor;
  std::uint64_t bytes = 0;
};

/// Opens a regular file for reading without following a symbolic link in its last component and without waiting
/// (a pipe somebody put there). Nullopt when there is no such file. Throws InputError when it is a link, a folder or a
/// device, RunError when the system refuses otherwise.
std::optional<RegularFile> open_regular_file(const std::filesystem::path& path);

/// Reads exactly data.size() bytes at `offset`. Returns 0, or errno; EIO when the file ends before.
int read_exactly(int descriptor, std::uint64_t offset, std::span<std::byte> data) noexcept;

/// Makes the names in a folder durable. File systems that cannot sync a folder are let pass. Throws RunError.
void sync_folder(const std::filesystem::path& folder);

/// "1.50 GiB (1610612736 bytes)".
std::string readable_bytes(std::uint64_t bytes);

/// "No space left on device" and the like.
std::string error_text(int error);

/// `text` fit for a message: control characters and bytes above ASCII escaped, cut after 80 characters.
std::string printable(std::string_view text);

}  // namespace blocktrain::trainer
