#include "trainer/checkpoint/resume.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "trainer/checkpoint/manifest.hpp"

namespace blocktrain::trainer {
namespace {

/// Checks the front file of a list, newest first; drops it and says so when it is damaged. True when it is whole.
bool front_is_whole(const std::filesystem::path& folder, std::vector<CommittedFile>& files,
                    std::vector<std::string>& warnings) {
  const std::optional<std::string> damage = find_damage(folder, files.front());
  if (!damage) return true;
  warnings.push_back((folder / files.front().name).string() + " " + *damage + ": not used");
  files.erase(files.begin());
  return false;
}

void warn_fresh_start(int block, ResumePlan& plan) {
  plan.warnings.push_back(fmt::format("block {} has no usable checkpoint and starts at step 0", block));
}

void find_independent(const std::filesystem::path& folder, std::vector<std::vector<CommittedFile>> files,
                      ResumePlan& plan) {
  for (std::size_t b = 0; b < files.size(); ++b) {
    while (!files[b].empty() && !front_is_whole(folder, files[b], plan.warnings)) {
    }
    if (files[b].empty()) {
      warn_fresh_start(static_cast<int>(b), plan);
    } else {
      plan.blocks[b].step = files[b].front().step;
      plan.blocks[b].file = files[b].front();
    }
  }
}

void find_common(const std::filesystem::path& folder, std::vector<std::vector<CommittedFile>> files, ResumePlan& plan) {
  const auto none_left = [&] { return std::ranges::any_of(files, [](const auto& list) { return list.empty(); }); };
  // Lowers every block to the oldest of the newest steps until all agree on one and all their files are whole.
  while (!none_left()) {
    const std::int64_t step =
        std::ranges::min(files, {}, [](const auto& list) { return list.front().step; }).front().step;
    bool agreed = true;
    for (auto& list : files) {
      while (!list.empty() && list.front().step > step) list.erase(list.begin());
      agreed = agreed && !list.empty() && list.front().step == step;
    }
    if (!agreed) continue;
    for (auto& list : files) agreed = front_is_whole(folder, list, plan.warnings) && agreed;
    if (!agreed) continue;
    for (std::size_t b = 0; b < files.size(); ++b) {
      plan.blocks[b].step = step;
      plan.blocks[b].file = files[b].front();
    }
    return;
  }
  plan.warnings.push_back(
      "the blocks depend on each other and have no usable checkpoint of a common step: all start at step 0");
}

}  // namespace

ResumePlan find_resume_points(const std::filesystem::path& run_directory, const Experiment& experiment, int blocks,
                              bool coupled, const Experiment& recorded, int first) {
  BLOCKTRAIN_EXPECTS(blocks >= 1 && blocks <= max_blocks && first <= blocks);
  const int wanted = first > 0 ? first : blocks;
  ResumePlan plan;
  for (int b = 0; b < wanted; ++b) plan.blocks.push_back({.block = b, .step = 0, .file = std::nullopt});
  plan.experiment = experiment.identity;
  std::optional<LoadedManifest> loaded = load_manifest(run_directory, experiment, blocks, recorded);
  if (!loaded) return plan;
  plan.found = true;
  plan.experiment = loaded->manifest.experiment.identity;
  plan.information = std::move(loaded->manifest.information);
  plan.warnings = std::move(loaded->warnings);
  loaded->manifest.blocks.resize(static_cast<std::size_t>(wanted));
  (coupled ? find_common : find_independent)(checkpoints_folder(run_directory), std::move(loaded->manifest.blocks),
                                             plan);
  return plan;
}

}  // namespace blocktrain::trainer
