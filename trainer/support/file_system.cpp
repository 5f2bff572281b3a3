#include "trainer/support/file_system.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

#include "kernels/error.hpp"

namespace blocktrain::trainer {

FileDescriptor::~FileDescriptor() { close(); }

int FileDescriptor::close() noexcept {
  const int descriptor = std::exchange(descriptor_, -1);
  // Linux releases the descriptor even when close is interrupted: never retry.
  if (descriptor >= 0 && ::close(descriptor) != 0 && errno != EINTR) return errno;
  return 0;
}

std::optional<RegularFile> open_regular_file(const std::filesystem::path& path) {
  RegularFile file;
  int descriptor = -1;
  do {
    descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  } while (descriptor < 0 && errno == EINTR);
  if (descriptor < 0) {
    const int error = errno;
    if (error == ENOENT || error == ENOTDIR) return std::nullopt;
    if (error == ELOOP) {
      throw InputError(path.string() +
                       ": is a symbolic link; checkpoints are read from plain files only. Put the file itself there");
    }
    if (error == ENXIO) throw InputError(path.string() + ": is not a plain file. Remove it");
    throw RunError("cannot open " + path.string() + ": " + error_text(error));
  }
  file.descriptor = FileDescriptor(descriptor);
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) throw RunError("cannot inspect " + path.string() + ": " + error_text(errno));
  if (!S_ISREG(status.st_mode)) throw InputError(path.string() + ": is not a plain file. Remove it");
  file.bytes = static_cast<std::uint64_t>(status.st_size);
  return file;
}

int read_exactly(int descriptor, std::uint64_t offset, std::span<std::byte> data) noexcept {
  while (!data.empty()) {
    const ssize_t got = ::pread(descriptor, data.data(), data.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    if (got == 0) return EIO;
    data = data.subspan(static_cast<std::size_t>(got));
    offset += static_cast<std::uint64_t>(got);
  }
  return 0;
}

void sync_folder(const std::filesystem::path& folder) {
  const FileDescriptor descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!descriptor.open()) throw RunError("cannot open the folder " + folder.string() + ": " + error_text(errno));
  // EINVAL: this file system has no such operation for folders, and nothing else would do better.
  if (::fsync(descriptor.get()) != 0 && errno != EINVAL) {
    throw RunError("cannot make names durable in " + folder.string() + ": " + error_text(errno));
  }
}

std::string readable_bytes(std::uint64_t bytes) {
  static constexpr std::array<const char*, 7> units{"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < units.size()) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} bytes", bytes) : fmt::format("{:.2f} {} ({} bytes)", value, units[unit], bytes);
}

std::string error_text(int error) { return std::generic_category().message(error); }

std::string printable(std::string_view text) {
  constexpr std::size_t longest = 80;
  std::string result;
  for (const char c : text.substr(0, longest)) {
    if (c >= 0x20 && c < 0x7f) {
      result += c;
    } else {
      result += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  return text.size() > longest ? result + "..." : result;
}

}  // namespace blocktrain::trainer
