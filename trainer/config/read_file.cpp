#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "kernels/error.hpp"
#include "trainer/config/document.hpp"
#include "trainer/config/load.hpp"
#include "trainer/support/file_system.hpp"

namespace blocktrain::trainer {
namespace {

constexpr const char* kAccepted = "; accepted: the path of a YAML file (ready ones are in configs/)";

[[noreturn]] void refuse(const std::string& found) { throw InputError("found " + found + kAccepted); }

[[noreturn]] void refuse_errno(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      refuse("no such file");
    case EACCES:
      refuse("a file that may not be read (permissions)");
    default:
      refuse(std::string("a file that cannot be read (") + std::strerror(error) + ")");
  }
}

}  // namespace

ConfigFile read_config_file(const std::string& path) {
  if (path.find('\0') != std::string::npos) refuse("a path with a zero byte");
  // Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever.
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.open()) refuse_errno(errno);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) refuse_errno(errno);
  if (S_ISDIR(status.st_mode)) refuse("a folder");
  if (!S_ISREG(status.st_mode)) refuse("something that is not a regular file");

  ConfigFile result;
  result.identity = std::to_string(status.st_dev) + ":" + std::to_string(status.st_ino);
  std::array<char, 65536> buffer;
  for (;;) {
    const ssize_t n = ::read(file.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) refuse_errno(errno);
    if (n == 0) break;
    result.text.append(buffer.data(), static_cast<std::size_t>(n));
    // A file that is still growing is cut off here as well.
    if (result.text.size() > kMostConfigBytes) refuse("more than " + std::to_string(kMostConfigBytes) + " bytes");
  }
  return result;
}

namespace {

/// The folder of a run's own config.yaml; empty for any other path. What a start writes before config.yaml, and what
/// every run has once it was saved, tells a RUN folder from others.
std::string run_folder_of(const std::string& path) {
  const std::filesystem::path file(path);
  if (file.filename() != "config.yaml") return "";
  const std::filesystem::path folder = file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
  std::error_code ignored;
  for (const char* name : {"data.json", "ledger.jsonl", "checkpoints/manifest.json"}) {
    if (std::filesystem::is_regular_file(folder / name, ignored)) return folder.string();
  }
  return "";
}

Config load_file(const std::string& path, const std::vector<std::string>& overrides, const std::string& run_folder) {
  ConfigFile file;
  try {
    file = read_config_file(path);
  } catch (const InputError& error) {
    throw InputError(path + ": " + error.what());
  }
  return load_with(file, path, overrides, read_config_file, run_folder);
}

}  // namespace

Config load_config(const std::string& path, const std::vector<std::string>& overrides) {
  return load_file(path, overrides, run_folder_of(path));
}

Config load_run_folder_config(const std::string& folder, const std::vector<std::string>& overrides) {
  return load_file(folder + "/config.yaml", overrides, folder);
}

Config load_config_text(std::string_view text, const std::string& name, const std::vector<std::string>& overrides) {
  return load_with({std::string(text), ""}, name, overrides, read_config_file);
}

}  // namespace blocktrain::trainer
