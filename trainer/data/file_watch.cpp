#include "trainer/data/file_watch.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "kernels/error.hpp"

namespace blocktrain::trainer {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t piece_count = 64, piece_bytes = 4096;

RunError changed(const std::string& name, const std::string& what) {
  return RunError("data file " + name + ": " + what +
                  " while it was in use. Put back the file as it was and start again (train --resume goes on from the "
                  "newest checkpoints); write other data beside it instead of over it");
}

}  // namespace

FileWatch::FileWatch(FileDescriptor file, const struct stat& status, std::span<const std::uint8_t> bytes,
                     std::string name)
    : file_(std::move(file)),
      bytes_(bytes),
      name_(std::move(name)),
      guard_(bytes.data(), bytes.size()),
      size_(status.st_size),
      modified_(status.st_mtim) {}

std::vector<std::uint8_t> FileWatch::pieces() const {
  if (bytes_.size() <= piece_count * piece_bytes) return {bytes_.begin(), bytes_.end()};
  std::vector<std::uint8_t> all(piece_count * piece_bytes);
  for (std::size_t i = 0; i < piece_count; ++i) {
    // The first and the last piece are the ends of the file.
    const std::size_t start = (bytes_.size() - piece_bytes) / (piece_count - 1) * i;
    const auto piece = bytes_.subspan(i + 1 == piece_count ? bytes_.size() - piece_bytes : start, piece_bytes);
    std::copy(piece.begin(), piece.end(), all.begin() + static_cast<std::ptrdiff_t>(i * piece_bytes));
  }
  return all;
}

void FileWatch::remember() {
  std::vector<std::uint8_t> now = pieces();
  const std::lock_guard lock(mutex_);
  remembered_ = std::move(now);
}

void FileWatch::check() {
  struct stat status {};
  if (fstat(file_.get(), &status) != 0) {
    throw changed(name_, std::string("became unreadable (") + std::strerror(errno) + ")");
  }
  if (status.st_size != size_) {
    throw changed(name_, "had " + std::to_string(size_) + " bytes when it was opened and now has " +
                             std::to_string(status.st_size) + ": it was changed");
  }
  if (guard_.lost()) throw changed(name_, "was cut short, or became unreadable,");
  const std::lock_guard lock(mutex_);
  const bool touched = status.st_mtim.tv_sec != modified_.tv_sec || status.st_mtim.tv_nsec != modified_.tv_nsec;
  const Clock::time_point now = Clock::now();
  if (touched) compare_until_ = now + std::chrono::seconds(2);
  if (!compare_until_) return;
  if (pieces() != remembered_ || guard_.lost()) throw changed(name_, "was written to, with other contents,");
  modified_ = status.st_mtim;
  if (now > *compare_until_) compare_until_.reset();
  touched_ = touched_ || touched;
}

std::optional<std::string> FileWatch::touched() {
  {
    const std::lock_guard lock(mutex_);
    if (!std::exchange(touched_, false)) return std::nullopt;
  }
  return "data file " + name_ + " was touched while it is in use: its time of modification is new, " +
         (bytes_.size() <= piece_count * piece_bytes ? "its contents are the same"
                                                     : "what was compared of its contents is the same");
}

}  // namespace blocktrain::trainer
