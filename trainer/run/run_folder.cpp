#include "trainer/run/run_folder.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <span>
#include <sstream>
#include <system_error>
#include <vector>

#include "kernels/error.hpp"
#include "trainer/checkpoint/durable_file.hpp"

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

void write_whole(const std::string& path, const std::string& text) {
  DurableFile file(path, text.size());
  file.write(std::as_bytes(std::span(text)));
  file.commit();
}

/// Whether a folder holds nothing but what a start that was killed leaves before config.yaml is there; the lock comes
/// first.
bool is_half_made(const RunPaths& paths) {
  std::error_code error;
  if (!fs::is_regular_file(paths.lock(), error)) return false;
  for (fs::directory_iterator entry(paths.root, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    std::string target;
    if (DurableFile::is_aside_name(name, target)) {
      if (target != "data.json" && target != "config.yaml") return false;
    } else if (name == "checkpoints") {
      std::error_code not_a_folder;
      if (!fs::is_empty(entry->path(), not_a_folder) || not_a_folder) return false;
    } else if (name != "lock" && name != "data.json") {
      return false;
    }
  }
  return !error;
}

/// What a start that was killed left aside.
void remove_leftovers(const std::string& root) {
  std::error_code error;
  std::vector<fs::path> leftovers;
  for (fs::directory_iterator entry(root, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    std::string target;
    if (DurableFile::is_aside_name(name, target) || name.rfind(seen_by_all_prefix, 0) == 0)
      leftovers.push_back(entry->path());
  }
  for (const fs::path& path : leftovers) fs::remove(path, error);
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
    if (is_half_made(paths)) return RunFolderState::fresh;
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
  remove_leftovers(paths.root);
  write_whole(paths.data(), data_json);
  // Last: a folder with a config is a run.
  write_whole(paths.config(), to_yaml(config));
}

RunLock::RunLock(const RunPaths& paths) {
  std::error_code error;
  fs::create_directories(paths.root, error);
  if (error) throw InputError("log.directory: cannot create '" + paths.root + "': " + error.message());
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
