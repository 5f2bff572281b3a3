#include "trainer/support/whole_file.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

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

WholeFile::WholeFile(const std::string& path, const std::string& what, const FileKind& kind)
    : file_(path, folder_of(path) / ("." + fs::path(path).filename().string() + ".tmp")) {
  require_writable(path, what, kind);
  file_.remove_leftover();  // or a link somebody put there; where it stays, what follows says why
  if (const int error = file_.create(); error != 0) refuse(what, path, std::strerror(error));
}

void WholeFile::fail(const char* doing, int error) const {
  throw RunError(file_.target().string() + ": " + doing + " failed: " + std::strerror(error) +
                 (error == ENOSPC || error == EDQUOT ? "; free some space and try again" : ""));
}

void WholeFile::write(std::span<const std::byte> data) {
  while (!data.empty()) {
    std::size_t done = 0;
    if (const int error = file_.write_some(data, done); error != 0) fail("writing", error);
    data = data.subspan(done);
  }
}

void WholeFile::commit() {
  // EINVAL: there is no such operation on this file system.
  if (const int error = file_.sync(); error != 0 && error != EINVAL) fail("writing", error);
  if (const int error = file_.close(); error != 0) fail("closing", error);
  if (const int error = file_.rename(); error != 0) fail("renaming the finished file", error);
}

}  // namespace blocktrain::trainer
