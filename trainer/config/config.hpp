#pragma once
/// An experiment: one typed struct per section of the YAML file, each declared with its keys beside what uses it, and
/// the options that the architecture, its objective and its task have for themselves (blocks/setting.hpp says what a
/// key is). Here is what concerns the network as a whole and how it is cut.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "blocks/architectures/architectures.hpp"
#include "blocks/noise/noise_options.hpp"
#include "blocks/objectives/objectives.hpp"
#include "blocks/options.hpp"
#include "blocks/setting.hpp"
#include "kernels/names.hpp"
#include "kernels/tensor.hpp"
#include "trainer/checkpoint/checkpoint_config.hpp"
#include "trainer/coordinator/budget_config.hpp"
#include "trainer/data/data_config.hpp"
#include "trainer/eval/eval_config.hpp"
#include "trainer/ledger/energy/energy_config.hpp"
#include "trainer/plan/parallel_config.hpp"
#include "trainer/tasks/task_entries.hpp"
#include "trainer/worker/optimizer_config.hpp"

namespace blocktrain::trainer {

enum class TrainingMode : std::uint8_t { block_local, end_to_end };
constexpr auto name_table(TrainingMode) { return names_up_to<TrainingMode::end_to_end>("block_local", "end_to_end"); }

struct LogConfig {
  std::string directory;  ///< log.directory, the RUN folder; required

  void describe(std::vector<blocks::Setting>& out);
  bool operator==(const LogConfig&) const = default;
};

/// What every architecture has. Its own keys of the section are in Config::architecture.
struct ModelConfig {
  std::string architecture;  ///< a name of architectures(); chosen with the Config, for it decides what keys there are
  int layers = 12;
  std::int64_t width = 384;
  int heads = 6;
  kernels::DType precision = kernels::DType::float32;  ///< float32 or bfloat16

  void describe(std::vector<blocks::Setting>& out);
  /// The key that stands behind those of the architecture.
  void describe_last(std::vector<blocks::Setting>& out);
  void check(std::vector<blocks::Conflict>& out) const;
  bool operator==(const ModelConfig&) const = default;
};

struct BlocksConfig {
  int count = 4;
  std::vector<int> layers;  ///< layers per block; empty: even
  TrainingMode training = TrainingMode::block_local;
  std::vector<std::uint64_t> seeds;  ///< one seed per block for weights and noise; empty: `seed` for all

  void describe(std::vector<blocks::Setting>& out);
  void check(const ModelConfig& model, std::vector<blocks::Conflict>& out) const;
  bool operator==(const BlocksConfig&) const = default;
};

struct Config {
  /// The defaults of the first architecture of the list.
  Config();
  /// The defaults of an architecture. Precondition: it is in the list.
  explicit Config(const blocks::Architecture& of);

  std::uint64_t seed = 0;
  LogConfig log;
  DataConfig data;
  ModelConfig model;
  BlocksConfig blocks;
  blocks::NoiseOptions noise;  ///< has keys where the objective draws sigma
  OptimizerConfig optimizer;
  BudgetConfig budget;
  EvalConfig eval;
  CheckpointConfig checkpoint;
  ParallelConfig parallel;
  EnergyConfig energy;
  blocks::Options architecture;  ///< what model.architecture has for itself, such as blocks::DitOptions
  blocks::Options objective;     ///< what its objective has, such as blocks::GaussianOptions
  blocks::Options task;          ///< what its task has (trainer/tasks/NAME/)

  bool operator==(const Config&) const = default;
};

/// The entries of the lists that a config names. Preconditions: they are there.
const blocks::Architecture& architecture_of(const Config& config);
const blocks::ObjectiveEntry& objective_entry_of(const blocks::Architecture& architecture);
const TaskEntry& task_entry_of(const blocks::Architecture& architecture);

/// Loads `path`, follows `extends:`, applies `overrides` ("a.b=c", later ones win) and checks every value and their
/// combination. Throws InputError with one line per problem, up to ten, in the order of files and lines:
/// "FILE:LINE: KEY: found X; accepted: Y". Creates nothing. The config.yaml of a RUN folder is read as
/// load_run_folder_config does, so that a copy of the folder is a run of its own.
Config load_config(const std::string& path, const std::vector<std::string>& overrides);

/// Loads FOLDER/config.yaml as what the run in that folder was trained with: log.directory is `folder`, wherever the
/// run lay when it was trained, unless an override says otherwise; and keys that it lacks, which came after the program
/// that wrote it, have the values that mean as before (Setting::as_before).
Config load_run_folder_config(const std::string& folder, const std::vector<std::string>& overrides);

/// The same for text in memory. `name` stands for the file in messages, and `extends:` is relative to its folder.
Config load_config_text(std::string_view text, const std::string& name, const std::vector<std::string>& overrides);

enum class YamlComments : std::uint8_t { none, every_key };

/// The whole config as YAML, every key with its value, in the order of describe(): RUN/config.yaml. With comments it
/// also says what each key means and accepts: `plan --show-config`. load_config_text of it gives the same config,
/// doubles to the bit.
std::string to_yaml(const Config& config, YamlComments comments = YamlComments::none);

/// docs/config.md: every section and key with the architectures that have it, default, accepted values and meaning.
std::string config_reference_markdown();

/// Layers of each block, blocks.count of them: blocks.layers, or the even split in which block b owns layers
/// [bL/B, (b+1)L/B) (method: section 1). In an end-to-end run this split still says which layers a block of the
/// compared block-local run has.
std::vector<int> layers_per_block(const Config& config);

/// Seed of block `block` for weights and noise: blocks.seeds[block], or `seed`. The order of the data follows `seed`.
std::uint64_t block_seed(const Config& config, int block);

}  // namespace blocktrain::trainer
