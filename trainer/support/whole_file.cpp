#include "trainer/support/whole_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "kernels/error.hpp"

namespace blocktrain::trainer {
namespace {

namespace fs = std::filesystem;

fs::path folder_of(const std::string& path) {
  const fs::path parent = fs::path(path).parent_path();
  return parent.empty() ? fs::path(".") : parent;
}

[[noreturn]] void refuse(const std::string& what, const std::string& path, const std::string& why) {
  throw InputError(what + ": cannot write '" + path + "': " + why);
}

}  // namespace

std::string beginning_of(const std::string& path, std::size_t most) {
  std::string contents(most, '\0');
  std::ifstream in(path, std::ios::binary);
  in.read(contents.data(), static_cast<std::streamsize>(contents.size()));
  contents.resize(static_cast<std::size_t>(std::max<std::streamsize>(in.gcount(), 0)));
  return contents;
}

void require_writable(const std::string& path, const std::string& what, const FileKind& kind) {
  const fs::path folder = folder_of(path);
  std::error_code error;
  if (fs::path(path).filename().empty()) refuse(what, path, "it ends in '/'; give the name of a file");
  if (!fs::is_directory(folder, error)) {
    refuse(what, path, "there is no folder '" + folder.string() + "'; create it or choose another");
  }
  // Renaming over a device would replace it.
  const fs::file_status found = fs::status(path, error);
  if (fs::is_directory(found)) refuse(what, path, "it is a folder; give the name of a file in it");
  if (fs::exists(found) && !fs::is_regular_file(found)) refuse(what, path, "it is not a regular file");
  if (access(folder.c_str(), W_OK | X_OK) != 0) refuse(what, path, std::strerror(errno));
  if (fs::exists(found) && fs::file_size(path, error) != 0 && !kind.is_one(path)) {
    refuse(what, path,
           std::string("it is there and not ") + kind.name +
               ", and nothing else is replaced; remove it or give another name");
  }
}

WholeFile::WholeFile(std::string path, const std::string& what, const FileKind& kind) : path_(std::move(path)) {
  require_writable(path_, what, kind);
  aside_ = (folder_of(path_) / ("." + fs::path(path_).filename().string() + ".tmp")).string();
  unlink(aside_.c_str());  // a leftover, or a link somebody put there
  descriptor_ = open(aside_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor_ < 0) refuse(what, path_, std::strerror(errno));
}

WholeFile::~WholeFile() {
  if (descriptor_ >= 0) {
    close(descriptor_);
    unlink(aside_.c_str());
  }
}

void WholeFile::fail(const char* doing) const {
  throw RunError(path_ + ": " + doing + " failed: " + std::strerror(errno) +
                 (errno == ENOSPC || errno == EDQUOT ? "; free some space and try again" : ""));
}

void WholeFile::write(std::span<const std::byte> data) {
  while (!data.empty()) {
    const ssize_t n = ::write(descriptor_, data.data(), data.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("writing");
    data = data.subspan(static_cast<std::size_t>(n));
  }
}

void WholeFile::commit() {
  if (fsync(descriptor_) != 0 && errno != EINVAL) fail("writing");
  if (std::rename(aside_.c_str(), path_.c_str()) != 0) fail("renaming the finished file");
  const int descriptor = std::exchange(descriptor_, -1);
  if (close(descriptor) != 0) fail("closing");
}

}  // namespace blocktrain::trainer
