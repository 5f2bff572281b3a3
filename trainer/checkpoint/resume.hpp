#pragma once
/// Where a run goes on: per block the newest checkpoint that is whole.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "trainer/checkpoint/commit.hpp"
#include "trainer/config/experiment.hpp"

namespace blocktrain::trainer {

/// Where one block starts.
struct ResumePoint {
  int block = 0;
  std::int64_t step = 0;              ///< steps behind it; 0 without a file: initial weights
  std::optional<CommittedFile> file;  ///< verified: its digest was right just now
};

struct ResumePlan {
  std::vector<ResumePoint> blocks;    ///< by block
  std::vector<std::string> warnings;  ///< sentences for the user: every file refused, every block that starts over
  bool found = false;                 ///< whether anything was saved before; false: a fresh run, without warnings
  std::vector<double> information;    ///< of the run's partition (Manifest::information)
  std::string experiment;             ///< identity that the run got when it was started: its block files carry it
};

/// Finds where each block of `experiment` goes on. Digests are checked here, before anything inside a file is looked
/// at. A block whose newest file is damaged or missing falls back to the one before; one without a usable file starts
/// at step 0. Blocks that are `coupled` (they share something while they train) start from their newest common step.
/// `recorded`: see load_manifest. With `first` that many blocks alone are looked at, from block 0. Changes nothing on
/// disk. Throws InputError as load_manifest and find_damage do.
ResumePlan find_resume_points(const std::filesystem::path& run_directory, const Experiment& experiment, int blocks,
                              bool coupled, const Experiment& recorded = {}, int first = 0);

}  // namespace blocktrain::trainer
