#pragma once
/// Small trainings for tests: the committed digits, a narrow network, ranks as threads.

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "trainer/config/config.hpp"
#include "trainer/train/train.hpp"

namespace blocktrain::trainer::testing {

/// A fresh folder, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::string path(const std::string& name) const { return (root_ / name).string(); }

 private:
  std::filesystem::path root_;
};

/// Trains 4 layers of width 16 in 4 blocks for 12 steps into `run`, with `overrides` on top. Returns the exit code.
int train_small(const std::string& run, int ranks, std::vector<std::string> overrides = {}, bool resume = false,
                const AfterStep& after_step = {});

/// Trains the experiment of a config file of the test's own in the same way.
int train_config(const std::string& config, int ranks, std::vector<std::string> overrides = {}, bool resume = false,
                 const AfterStep& after_step = {});

/// SHA-256 of each block's newest checkpoint, by block, from the manifest.
std::vector<std::string> final_digests(const std::string& run);

/// Step rows of RUN/ledger.jsonl with what their change rows say.
std::vector<nlohmann::json> step_rows(const std::string& run);

/// Lines of a file.
std::vector<std::string> lines(const std::string& path);

}  // namespace blocktrain::trainer::testing
