#include "trainer/support/durable_file.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "kernels/error.hpp"

namespace blocktrain::trainer {
namespace {

constexpr const char* aside_mark = ".tmp-";
// Large enough for full disk bandwidth, small enough that the digest reads what is still in the processor's cache.
constexpr std::size_t write_chunk = std::size_t{1} << 20;

/// Past RLIMIT_FSIZE the system kills the process with a signal instead of returning an error.
void require_file_size_allowed(const std::filesystem::path& path, std::uint64_t bytes) {
  struct rlimit limit {};
  if (::getrlimit(RLIMIT_FSIZE, &limit) != 0)
    throw RunError("cannot read the limit of file sizes: " + error_text(errno));
  if (limit.rlim_cur != RLIM_INFINITY && bytes > limit.rlim_cur) {
    throw RunError("cannot write " + path.string() + ": it needs " + readable_bytes(bytes) +
                   ", and files of this process may have " + readable_bytes(limit.rlim_cur) +
                   " (ulimit -f). Older checkpoints are as they were; raise the limit and resume");
  }
}

}  // namespace

DurableFile::DurableFile(std::filesystem::path target, std::uint64_t bytes)
    : file_(target, target.parent_path() / aside_name(target.filename().string(), process_rank())), bytes_(bytes) {
  require_file_size_allowed(target, bytes);
  if (const int error = file_.remove_leftover(); error != 0) throw failure("replace a leftover of", error);
  if (const int error = file_.create(); error != 0) throw failure("create", error);
  if (bytes == 0) return;
  int result = 0;
  do {
    result = ::fallocate(file_.descriptor(), 0, 0, static_cast<off_t>(bytes));
  } while (result != 0 && errno == EINTR);
  // A file system without reservations says so; its errors then come from the writes.
  if (result != 0 && errno != EOPNOTSUPP && errno != ENOSYS) throw failure("write", errno);
}

void DurableFile::write(std::span<const std::byte> data) {
  BLOCKTRAIN_EXPECTS(data.size() <= bytes_ - written_);
  while (!data.empty()) {
    const auto chunk = data.first(std::min(data.size(), write_chunk));
    std::size_t done = 0;
    if (const int error = file_.write_some(chunk, done); error != 0) throw failure("write", error);
    digest_.update(chunk.first(done));
    data = data.subspan(done);
    written_ += done;
  }
}

std::string DurableFile::commit() {
  BLOCKTRAIN_EXPECTS(written_ == bytes_);
  if (const int error = file_.sync(); error != 0) throw failure("write", error);
  if (const int error = file_.close(); error != 0) throw failure("write", error);
  if (const int error = file_.rename(); error != 0) throw failure("rename", error);
  sync_folder(file_.target().parent_path());
  return digest_.hex();
}

RunError DurableFile::failure(const char* doing, int error) const {
  std::string message = std::string("cannot ") + doing + " " + file_.target().string() + ": " + error_text(error);
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
    message += "; it needs " + readable_bytes(bytes_);
    struct statvfs space {};
    if (::statvfs(file_.target().parent_path().c_str(), &space) == 0) {
      // What this file has taken so far is given back when it is removed.
      struct stat status {};
      std::uint64_t taken = 0;
      if (file_.open() && ::fstat(file_.descriptor(), &status) == 0)
        taken = static_cast<std::uint64_t>(status.st_blocks) * 512;
      message += ", and " + readable_bytes(static_cast<std::uint64_t>(space.f_bavail) * space.f_frsize + taken) +
                 " are available on that file system" + (error == EDQUOT ? ", less by your quota" : "");
    }
    message += ". Older checkpoints are as they were; make room (or lower checkpoint.keep) and resume";
  } else if (error == EACCES || error == EPERM || error == EROFS) {
    message += "; it needs " + readable_bytes(bytes_) +
               " in a folder this user may write to. Older checkpoints are as they were";
  } else if (error == ENOENT || error == ENOTDIR) {
    message += "; the folder " + file_.target().parent_path().string() + " is gone";
  }
  return RunError(message);
}

std::string DurableFile::aside_name(const std::string& name, int rank) {
  return "." + name + aside_mark + std::to_string(std::max(rank, 0));
}

bool DurableFile::is_aside_name(const std::string& name, std::string& target) {
  const std::size_t mark = name.rfind(aside_mark);
  if (name.size() < 2 || name[0] != '.' || mark == std::string::npos || mark < 2) return false;
  const std::string rank = name.substr(mark + std::string(aside_mark).size());
  if (rank.empty() || rank.find_first_not_of("0123456789") != std::string::npos) return false;
  target = name.substr(1, mark - 1);
  return true;
}

}  // namespace blocktrain::trainer
