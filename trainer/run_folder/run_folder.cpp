#include "trainer/run_folder/run_folder.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <span>
#include <system_error>
#include <vector>

#include "kernels/error.hpp"
#include "trainer/config/experiment.hpp"
#include "trainer/support/durable_file.hpp"

namespace blocktrain::trainer {
namespace {

namespace fs = std::filesystem;

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
    } else if (name != "lock" && name != "lock.holder" && name != "data.json") {
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
  const auto differences = differing_keys(experiment_of(load_run_config(paths.root)), experiment_of(config));
  if (!differences.empty()) {
    throw InputError("--resume: '" + paths.root +
                     "' holds a run of another experiment; nothing was changed. What differs:" + to_text(differences));
  }
  return RunFolderState::resumable;
}

Config load_run_config(const std::string& root, const std::vector<std::string>& overrides) {
  const RunPaths paths{root};
  std::error_code error;
  if (!fs::is_directory(root, error) || !fs::is_regular_file(paths.config(), error)) {
    throw InputError("'" + root + "' is not a RUN folder of blocktrain: there is no " + paths.config() +
                     ". Give the folder that log.directory named when the run was trained");
  }
  return load_run_folder_config(root, overrides);
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

}  // namespace blocktrain::trainer
