#include "trainer/data/mapped_bytes.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "kernels/error.hpp"
#include "trainer/support/file_system.hpp"

namespace blocktrain::trainer {
namespace {

[[noreturn]] void throw_open_error(const std::filesystem::path& path, int error) {
  const std::string what = "data file " + path.string() + ": cannot be opened (" + std::strerror(error) + ")";
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      throw InputError(what + "; check data.path");
    case ELOOP:
      throw InputError(what + "; it is a symbolic link, which is not followed: put the file itself there");
    case EACCES:
    case EPERM:
      throw InputError(what + "; make it readable for the user who runs this");
    default:
      throw RunError(what);
  }
}

}  // namespace

MappedBytes MappedBytes::of_file(const std::filesystem::path& path) {
  // O_NONBLOCK: opening a FIFO must not wait for a writer.
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!file.open()) throw_open_error(path, errno);
  struct stat info {};
  if (fstat(file.get(), &info) != 0) throw_open_error(path, errno);
  if (!S_ISREG(info.st_mode)) {
    throw InputError("data file " + path.string() + ": is not a regular file; put the data file itself there");
  }
  if (info.st_size <= 0) throw InputError("data file " + path.string() + ": is empty; fetch or copy it again");
  const auto size = static_cast<std::size_t>(info.st_size);
  void* p = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (p == MAP_FAILED) {
    throw RunError("data file " + path.string() + ": cannot be mapped into memory (" + std::strerror(errno) + ")");
  }
  MappedBytes bytes;
  bytes.data_ = static_cast<std::uint8_t*>(p);
  bytes.size_ = size;
  bytes.watch_ = std::make_unique<FileWatch>(std::move(file), info, bytes.bytes(), path.string());
  return bytes;
}

MappedBytes MappedBytes::anonymous(std::size_t size) {
  BLOCKTRAIN_EXPECTS(size > 0);
  void* p = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) {
    throw RunError("cannot take " + std::to_string(size) +
                   " bytes of memory for decoded data: " + std::strerror(errno));
  }
  MappedBytes bytes;
  bytes.data_ = static_cast<std::uint8_t*>(p);
  bytes.size_ = size;
  bytes.anonymous_ = true;
  return bytes;
}

MappedBytes& MappedBytes::operator=(MappedBytes&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(anonymous_, other.anonymous_);
  std::swap(sealed_, other.sealed_);
  std::swap(watch_, other.watch_);
  return *this;
}

MappedBytes::~MappedBytes() {
  watch_.reset();  // it guards the mapping
  if (data_ != nullptr) munmap(data_, size_);
}

void MappedBytes::remember() const {
  if (watch_ != nullptr) watch_->remember();
}

void MappedBytes::check_unchanged() const {
  if (watch_ != nullptr) watch_->check();
}

std::optional<std::string> MappedBytes::touched() const { return watch_ != nullptr ? watch_->touched() : std::nullopt; }

std::span<std::uint8_t> MappedBytes::writable() {
  BLOCKTRAIN_EXPECTS(anonymous_ && !sealed_);
  return {data_, size_};
}

void MappedBytes::resize(std::size_t size) {
  BLOCKTRAIN_EXPECTS(anonymous_ && !sealed_ && size > 0);
  void* p = mremap(data_, size_, size, MREMAP_MAYMOVE);
  if (p == MAP_FAILED) {
    throw RunError("cannot take " + std::to_string(size) +
                   " bytes of memory for decoded data: " + std::strerror(errno));
  }
  data_ = static_cast<std::uint8_t*>(p);
  size_ = size;
}

void MappedBytes::seal() {
  BLOCKTRAIN_EXPECTS(anonymous_);
  // A stray write into the data set then stops the program instead of silently changing the data.
  if (mprotect(data_, size_, PROT_READ) != 0) {
    throw RunError(std::string("cannot protect decoded data from writes: ") + std::strerror(errno));
  }
  sealed_ = true;
}

}  // namespace blocktrain::trainer
