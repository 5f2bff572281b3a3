#include "trainer/ledger/file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "kernels/error.hpp"

namespace blocktrain::trainer {

namespace {

[[noreturn]] void fail_at(const std::string& path, const char* call) {
  const int error = errno;
  std::string message = path + ": " + call + " failed: " + std::strerror(error);
  if (error == ENOSPC || error == EDQUOT) message += "; free some space and resume the run";
  throw RunError(message);
}

}  // namespace

File::File(const std::string& path, int flags)
    : path_(path), descriptor_(::open(path.c_str(), flags | O_CLOEXEC, 0666)) {
  if (!descriptor_.open()) fail("open");
}

void File::fail(const char* call) const { fail_at(path_, call); }

std::uint64_t File::size() const {
  struct stat status {};
  if (::fstat(descriptor_.get(), &status) != 0) fail("fstat");
  return static_cast<std::uint64_t>(status.st_size);
}

void File::append(std::string_view data) {
  std::size_t done = 0;
  while (done < data.size()) {
    const ssize_t written = ::write(descriptor_.get(), data.data() + done, data.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      const int error = written < 0 ? errno : ENOSPC;
      // Half a row would be taken for a damaged ledger by every reader.
      if (done > 0 && ::ftruncate(descriptor_.get(), static_cast<off_t>(size() - done)) != 0)
        fail("ftruncate after a failed write");
      errno = error;
      fail("write");
    }
    done += static_cast<std::size_t>(written);
  }
}

std::size_t File::read_at(void* to, std::size_t size, std::uint64_t offset) const {
  std::size_t done = 0;
  while (done < size) {
    const ssize_t got =
        ::pread(descriptor_.get(), static_cast<char*>(to) + done, size - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("read");
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

void File::truncate(std::uint64_t size) {
  if (::ftruncate(descriptor_.get(), static_cast<off_t>(size)) != 0) fail("ftruncate");
}

void File::sync() {
  if (::fsync(descriptor_.get()) != 0) fail("fsync");
}

void File::lock(const std::string& what) {
  if (::flock(descriptor_.get(), LOCK_EX | LOCK_NB) == 0) return;
  if (errno == EWOULDBLOCK) {
    throw InputError(path_ + ": " + what + " is in use by a run that has not ended; wait for it, or stop it first");
  }
}

void File::close() {
  errno = descriptor_.close();
  if (errno != 0) fail("close");
}

void rename_file(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0) fail_at(from, "rename");
}

}  // namespace blocktrain::trainer
