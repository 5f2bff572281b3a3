#include "trainer/support/atomic_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

namespace blocktrain::trainer {

AtomicFile::AtomicFile(std::filesystem::path target, std::filesystem::path aside)
    : target_(std::move(target)), aside_(std::move(aside)) {}

AtomicFile::~AtomicFile() {
  if (aside_exists_) ::unlink(aside_.c_str());
}

int AtomicFile::remove_leftover() { return ::unlink(aside_.c_str()) == 0 || errno == ENOENT ? 0 : errno; }

int AtomicFile::create() {
  descriptor_ = FileDescriptor(::open(aside_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666));
  aside_exists_ = descriptor_.open();
  return aside_exists_ ? 0 : errno;
}

int AtomicFile::write_some(std::span<const std::byte> data, std::size_t& done) {
  ssize_t put = 0;
  do {
    put = ::write(descriptor_.get(), data.data(), data.size());
  } while (put < 0 && errno == EINTR);
  done = put < 0 ? 0 : static_cast<std::size_t>(put);
  return put < 0 ? errno : 0;
}

int AtomicFile::sync() { return ::fsync(descriptor_.get()) == 0 ? 0 : errno; }

int AtomicFile::rename() {
  if (std::rename(aside_.c_str(), target_.c_str()) != 0) return errno;
  aside_exists_ = false;
  return 0;
}

}  // namespace blocktrain::trainer
