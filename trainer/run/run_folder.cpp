#include "trainer/run/run_folder.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <vector>

#include "kernels/error.hpp"

namespace blocktrain::trainer {
namespace {

namespace fs = std::filesystem;

/// Keys of two configs that differ, from their YAML: "section.key: a (in the run), b (now)".
std::string differing_keys(const Config& run, const Config& now) {
  std::istringstream a(to_yaml(run)), b(to_yaml(now));
  std::string la, lb, section, result;
  while (std::getline(a, la) && std::getline(b, lb)) {
    if (!la.empty() && la.front() != ' ' && la.back() == ':') section = la.substr(0, la.size() - 1) + ".";
    if (la == lb || section == "log." || section == "budget." || section == "eval." || section == "checkpoint." ||
        section == "parallel." || section == "energy.") {
      continue;
    }
    const auto trimmed = [](const std::string& s) { return s.substr(std::min(s.find_first_not_of(' '), s.size())); };
    const std::string in_run = trimmed(la), in_now = trimmed(lb);
    const std::string prefix = la.front() == ' ' ? section : std::string();
    result += "\n  " + prefix + in_run + " in the run, " + in_now.substr(in_now.find(": ") + 2) + " now";
  }
  return result;
}

/// The nearest existing ancestor of `path` has to be a folder that we may write to.
void require_creatable(const fs::path& path) {
  std::error_code error;
  fs::path p = fs::absolute(path);
  while (!fs::exists(p, error) && p.has_parent_path() && p != p.parent_path()) p = p.parent_path();
  if (!fs::is_directory(p, error)) {
    throw InputError("log.directory: '" + path.string() + "' cannot be created: '" + p.string() + "' is not a folder");
  }
  if (access(p.c_str(), W_OK | X_OK) != 0) {
    throw InputError("log.directory: '" + path.string() + "' cannot be created or written: " + std::strerror(errno) +
                     " at '" + p.string() + "'; choose another with --set log.directory=...");
  }
}

/// Written aside and renamed, so that a run folder never holds half a file.
void write_whole(const std::string& path, const std::string& text) {
  const std::string aside = path + ".tmp";
  {
    std::ofstream out(aside, std::ios::trunc | std::ios::binary);
    out << text;
    out.close();
    if (!out) throw InputError("log.directory: cannot write '" + aside + "': " + std::strerror(errno));
  }
  std::error_code error;
  fs::rename(aside, path, error);
  if (error) throw InputError("log.directory: cannot write '" + path + "': " + error.message());
}

}  // namespace

RunFolderState inspect_run_folder(const Config& config, bool resume) {
  const RunPaths paths{config.log.directory};
  std::error_code error;
  require_creatable(paths.root);
  if (!fs::exists(paths.root, error)) return RunFolderState::fresh;
  if (!fs::is_directory(paths.root, error)) {
    throw InputError("log.directory: '" + paths.root + "' exists and is not a folder; choose another");
  }
  if (fs::is_empty(paths.root, error)) return RunFolderState::fresh;
  if (!fs::exists(paths.config(), error)) {
    throw InputError("log.directory: '" + paths.root +
                     "' exists but holds no run of blocktrain (no config.yaml); nothing was changed. Choose another "
                     "folder or empty this one");
  }
  if (!resume) {
    throw InputError("log.directory: '" + paths.root +
                     "' already holds a run; nothing was changed. Continue it with --resume, or choose another folder "
                     "with --set log.directory=...");
  }
  const Config before = load_run_config(paths.root);
  if (experiment_identity(before) != experiment_identity(config)) {
    throw InputError(
        "--resume: '" + paths.root +
        "' holds a run of another experiment; nothing was changed. What differs:" + differing_keys(before, config));
  }
  return RunFolderState::resumable;
}

Config load_run_config(const std::string& root) {
  const RunPaths paths{root};
  std::error_code error;
  if (!fs::is_directory(root, error) || !fs::is_regular_file(paths.config(), error)) {
    throw InputError("'" + root + "' is not a RUN folder of blocktrain: there is no " + paths.config() +
                     ". Give the folder that log.directory named when the run was trained");
  }
  return load_config(paths.config(), {});
}

void create_run_folder(const RunPaths& paths, const Config& config, const std::string& data_json) {
  std::error_code error;
  fs::create_directories(paths.checkpoints(), error);
  if (error) throw InputError("log.directory: cannot create '" + paths.checkpoints() + "': " + error.message());
  write_whole(paths.data(), data_json);
  // Last: a folder with a config is a run.
  write_whole(paths.config(), to_yaml(config));
}

RunLock::RunLock(const RunPaths& paths) {
  file_ = open(paths.lock().c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644);
  if (file_ < 0) throw InputError("log.directory: cannot write '" + paths.lock() + "': " + std::strerror(errno));
  if (flock(file_, LOCK_EX | LOCK_NB) != 0) {
    const int why = errno;
    close(file_);
    if (why == EWOULDBLOCK) {
      throw InputError("log.directory: '" + paths.root + "' is being trained in by another process (it holds " +
                       paths.lock() + "); wait for it to end or choose another folder");
    }
    throw InputError("log.directory: cannot lock '" + paths.lock() + "': " + std::strerror(why));
  }
}

RunLock::~RunLock() {
  if (file_ >= 0) close(file_);
}

}  // namespace blocktrain::trainer
