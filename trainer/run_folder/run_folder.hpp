#pragma once
/// The RUN folder: where everything of a run lies. Checked before anything is created in it.
///
///   RUN/config.yaml         the resolved config
///   RUN/data.json           what the run was trained on (data_facts.hpp)
///   RUN/ledger.jsonl        what every step was and cost (trainer/ledger/ledger.hpp)
///   RUN/checkpoints/        block files and their manifest (trainer/checkpoint/)
///   RUN/eval.json           what `blocktrain eval` found
///   RUN/lock                held while a process trains here; where there are no locks, RUN/lock.holder (run_lock.hpp)
///
/// Whatever is made in it has the mode that the umask leaves of 0666, or 0777 for a folder.

#include <string>
#include <vector>

#include "trainer/config/config.hpp"

namespace blocktrain::trainer {

/// Paths inside a RUN folder.
struct RunPaths {
  std::string root;
  std::string config() const { return root + "/config.yaml"; }
  std::string data() const { return root + "/data.json"; }
  std::string ledger() const { return root + "/ledger.jsonl"; }
  std::string checkpoints() const { return root + "/checkpoints"; }
  std::string eval() const { return root + "/eval.json"; }
  std::string lock() const { return root + "/lock"; }
  std::string lock_holder() const { return root + "/lock.holder"; }
};

/// Files of this name in a RUN folder show at the start whether all ranks see it.
inline constexpr const char* seen_by_all_prefix = ".seen-by-all-";

enum class RunFolderState { fresh, resumable };

/// What a training with `config` finds at log.directory. Throws InputError when it may not go on: the folder holds a
/// run and `resume` was not asked for, the run is of another experiment (the differing keys are named), the folder
/// holds something else, or it cannot be written to. What a start that was killed left behind counts as fresh.
/// Creates nothing.
RunFolderState inspect_run_folder(const Config& config, bool resume);

/// Loads RUN/config.yaml of an existing run, log.directory being `root` (load_run_folder_config). Throws InputError
/// when `root` is not a RUN folder.
Config load_run_config(const std::string& root, const std::vector<std::string>& overrides = {});

/// Creates what is missing of the folder and writes config.yaml and data.json (`data_json`), each whole or not at all.
/// The caller holds the lock. Throws InputError or RunError when the system refuses.
void create_run_folder(const RunPaths& paths, const Config& config, const std::string& data_json);

}  // namespace blocktrain::trainer
