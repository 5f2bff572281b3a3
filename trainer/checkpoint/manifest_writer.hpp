#pragma once
/// The one writer of the manifest: the coordinator. What it does, and in which order, is what makes a run survive a
/// kill at any instant: a file is named after it is durable, and removed after nothing names it.

#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "trainer/checkpoint/manifest.hpp"
#include "trainer/checkpoint/resume.hpp"
#include "trainer/support/file_system.hpp"

namespace blocktrain::trainer {

/// What prune() did.
struct PruneResult {
  int removed = 0;                    ///< files of checkpoints that newer ones replaced
  std::vector<std::string> warnings;  ///< sentences for the user: damage found on the way, files that cannot be removed
};

/// unlink(2), or what a test puts in its place.
using RemoveFile = std::function<int(const char* path)>;

/// Not thread-safe: one thread of one process uses it. Any thread will do.
class ManifestWriter {
 public:
  /// Takes over RUN/checkpoints (made when missing) before any block is committed by this run. `experiment` has the
  /// identity of the run (ResumePlan::experiment) and the keys of its config. `start` is where its
  /// blocks start, by find_resume_points: what the manifest names beyond that is forgotten, for those steps are trained
  /// again. Saves the manifest, then removes what it does not name: orphaned block files and files aside of a crash.
  /// Files of a block that starts over at step 0 stay until they are overwritten or the next start, and nothing else in
  /// the folder is touched. A file that cannot be removed stays, with a warning. Throws InputError as load_manifest
  /// does and when another process is writing there, RunError when the system refuses otherwise.
  ManifestWriter(std::filesystem::path run_directory, Experiment experiment, const ResumePlan& start,
                 RemoveFile remove_file = ::unlink);

  /// Names committed files, durably and all at once; one of the same block and step is replaced. Throws RunError when
  /// one is no file of this run or the disk is full; the manifest is then as before.
  void add(std::span<const CommittedFile> files);
  void add(const CommittedFile& file) { add(std::span(&file, 1)); }

  /// Keeps the newest `keep` (at least 1) files of each block and removes older ones, but only after those kept were
  /// read again from disk and found whole (each file once). One found damaged is dropped with a warning; where fewer
  /// than `keep` whole ones are left, nothing is removed. Blocks that are `coupled` keep everything since their
  /// `keep`th newest common step, so that they have one to resume from. Throws RunError.
  PruneResult prune(int keep, bool coupled);

  const Manifest& manifest() const { return manifest_; }
  /// Files the constructor removed.
  int cleaned() const { return cleaned_; }
  /// What the constructor could not remove: sentences for the user.
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  void save(const Manifest& manifest);
  int clean(const std::set<std::string>& spared);
  /// The oldest step to keep of blocks that prune together; nullopt: all. Drops damaged files from `group`.
  std::optional<std::int64_t> oldest_kept(std::span<std::vector<CommittedFile>> group, std::size_t keep,
                                          std::set<std::string>& unnamed, PruneResult& result);
  bool is_whole(const CommittedFile& file, PruneResult& result);
  /// False where it is still there, or was not; the first with a sentence in `warnings`.
  bool remove(const std::string& name, std::vector<std::string>& warnings) const;

  std::filesystem::path folder_;
  RemoveFile remove_file_;
  FileDescriptor lock_;
  Manifest manifest_;
  std::string saved_text_;          ///< of the newest manifest that is whole on disk; empty: none yet
  bool current_is_whole_ = false;   ///< whether that is manifest.json rather than the one before
  std::set<std::string> verified_;  ///< names of files found whole
  int cleaned_ = 0;
  std::vector<std::string> warnings_;
};

}  // namespace blocktrain::trainer
