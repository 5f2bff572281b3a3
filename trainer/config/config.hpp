#pragma once
/// An experiment: one typed struct per section of the YAML file. Defaults stand here; what each key means, its
/// unit and its accepted values stand in describe.cpp, from which the loader, `plan --show-config` and
/// docs/config.md are made.

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/config/data_format.hpp"

namespace blocktrain::trainer {

/// Most classes that a data set may have (data.classes).
inline constexpr std::int64_t most_classes = 65536;

enum class Architecture : std::uint8_t { dit };
enum class TrainingMode : std::uint8_t { block_local, end_to_end };
enum class Partition : std::uint8_t { equal_probability, uniform, uniform_log };
enum class NoiseSampling : std::uint8_t { lognormal, uniform_log, partition };
enum class Weighting : std::uint8_t { edm, none };
enum class DeviceChoice : std::uint8_t { automatic, cpu, cuda };
enum class Precision : std::uint8_t { float32, bfloat16 };
enum class TransportChoice : std::uint8_t { automatic, mpi, local };
enum class GpuTransportChoice : std::uint8_t { automatic, nccl, host };
enum class ActivationCheckpointing : std::uint8_t { none, layer };
enum class SamplerKind : std::uint8_t { euler, heun, ancestral };

struct LogConfig {
  std::string directory;  ///< log.directory, the RUN folder; required

  bool operator==(const LogConfig&) const = default;
};

struct DataConfig {
  std::string path;  ///< required
  DataFormat format = DataFormat::automatic;
  std::vector<int> shape;        ///< channels, height, width of an image as declared; empty: the data say
  std::int64_t classes = 0;      ///< as declared; 0: the data say
  std::int64_t batch = 128;      ///< images per step and block
  std::int64_t micro_batch = 0;  ///< images per forward/backward pass; 0: chosen by the plan
  bool flip = false;             ///< random horizontal flips

  bool operator==(const DataConfig&) const = default;
};

struct ModelConfig {
  Architecture architecture = Architecture::dit;
  int layers = 12;
  std::int64_t width = 384;
  int heads = 6;
  int patch = 2;
  std::int64_t mlp_ratio = 4;
  double label_dropout = 0.1;  ///< share of labels replaced by "none", for guidance
  Precision precision = Precision::float32;

  bool operator==(const ModelConfig&) const = default;
};

struct BlocksConfig {
  int count = 4;
  std::vector<int> layers;  ///< layers per block; empty: even
  TrainingMode training = TrainingMode::block_local;
  std::vector<std::uint64_t> seeds;  ///< one seed per block for weights and noise; empty: `seed` for all

  bool operator==(const BlocksConfig&) const = default;
};

struct NoiseConfig {
  Partition partition = Partition::equal_probability;
  NoiseSampling sampling = NoiseSampling::lognormal;
  double overlap = 0.05;  ///< gamma
  double sigma_min = 0.002, sigma_max = 80;
  double sigma_data = 0.5;
  double p_mean = -1.2, p_std = 1.2;
  double sigma_max_fraction = 0;  ///< share of block 0's draws that are exactly sigma_max

  bool operator==(const NoiseConfig&) const = default;
};

struct ObjectiveConfig {
  Weighting weighting = Weighting::edm;

  bool operator==(const ObjectiveConfig&) const = default;
};

struct OptimizerConfig {
  double learning_rate = 1e-4;
  double weight_decay = 0;
  std::vector<double> betas{0.9, 0.999};
  double epsilon = 1e-8;
  double clip_norm = 1.0;  ///< per block; 0: none
  std::int64_t warmup_steps = 0;
  std::int64_t decay_steps = -1;  ///< cosine from the end of warm-up to this step; -1: budget.steps; 0: constant
  double final_fraction = 0;      ///< learning rate at the end of the decay, as a fraction of learning_rate
  double average_decay = 0;       ///< exponential moving average of the weights, used by eval and generate; 0: off

  bool operator==(const OptimizerConfig&) const = default;
};

struct BudgetConfig {
  std::int64_t steps = 1000;                                ///< per block
  double tokens = 0, joules = 0, dollars = 0, seconds = 0;  ///< per run; 0: no limit

  bool operator==(const BudgetConfig&) const = default;
};

struct EvalConfig {
  std::int64_t every_steps = 0;       ///< held-out loss of a block while it trains; 0: only by `eval`
  std::int64_t images = 256;          ///< held-out images per loss
  std::int64_t samples = 500;         ///< generated images for agreement and Frechet distances
  std::vector<int> steps{4, 18, 50};  ///< numbers of sampling steps to compare
  std::int64_t batch = 0;             ///< images at a time of `eval` and `generate`; 0: what suits the device
  SamplerKind sampler = SamplerKind::euler;
  double guidance = 1.0;

  bool operator==(const EvalConfig&) const = default;
};

struct CheckpointConfig {
  std::int64_t every_steps = 500;
  int keep = 2;

  bool operator==(const CheckpointConfig&) const = default;
};

struct ParallelConfig {
  DeviceChoice device = DeviceChoice::automatic;
  TransportChoice transport = TransportChoice::automatic;
  GpuTransportChoice gpu_transport = GpuTransportChoice::automatic;
  int ranks = 0;                      ///< ranks of the threads transport; 0: one
  int threads = 0;                    ///< compute threads per rank; 0: this host's cores shared among its ranks
  std::int64_t steps_per_visit = 50;  ///< steps a rank that owns several blocks trains one before the next
  bool rebalance = true;              ///< a rank whose blocks are done takes over one of a rank that has several left
  double timeout_seconds = 120;       ///< no wait for another rank is longer
  bool cuda_graphs = true;            ///< a step on a GPU is captured once and replayed
  /// What a layer keeps for its backward pass. Here and not under `model`, for it changes memory and time but not a bit
  /// of the weights, and keys of this section are not part of the experiment's identity.
  ActivationCheckpointing activation_checkpointing = ActivationCheckpointing::none;

  /// timeout_seconds, as waits take it.
  std::chrono::milliseconds timeout() const {
    return std::chrono::milliseconds(static_cast<std::int64_t>(timeout_seconds * 1000));
  }
  bool operator==(const ParallelConfig&) const = default;
};

struct EnergyConfig {
  std::string powercap_root = "/sys/class/powercap";
  double sample_seconds = 1.0;
  double price_usd_per_kwh = 0.12;

  bool operator==(const EnergyConfig&) const = default;
};

struct Config {
  std::uint64_t seed = 0;
  LogConfig log;
  DataConfig data;
  ModelConfig model;
  BlocksConfig blocks;
  NoiseConfig noise;
  ObjectiveConfig objective;
  OptimizerConfig optimizer;
  BudgetConfig budget;
  EvalConfig eval;
  CheckpointConfig checkpoint;
  ParallelConfig parallel;
  EnergyConfig energy;

  bool operator==(const Config&) const = default;
};

/// Loads `path`, follows `extends:`, applies `overrides` ("a.b=c", later ones win) and checks every value and their
/// combination. Throws InputError with one line per problem, up to ten, in the order of files and lines:
/// "FILE:LINE: KEY: found X; accepted: Y". Creates nothing. The config.yaml of a RUN folder is read as
/// load_run_folder_config does, so that a copy of the folder is a run of its own.
Config load_config(const std::string& path, const std::vector<std::string>& overrides);

/// Loads FOLDER/config.yaml as what the run in that folder was trained with: log.directory is `folder`, wherever the
/// run lay when it was trained, unless an override says otherwise; and keys that it lacks, which came after the program
/// that wrote it, have the values that mean as before (Field::as_before).
Config load_run_folder_config(const std::string& folder, const std::vector<std::string>& overrides);

/// The same for text in memory. `name` stands for the file in messages, and `extends:` is relative to its folder.
Config load_config_text(std::string_view text, const std::string& name, const std::vector<std::string>& overrides);

enum class YamlComments : std::uint8_t { none, every_key };

/// The whole config as YAML, every key with its value, in the order of the structs: RUN/config.yaml. With comments it
/// also says what each key means and accepts: `plan --show-config`. load_config_text of it gives the same config,
/// doubles to the bit.
std::string to_yaml(const Config& config, YamlComments comments = YamlComments::none);

/// docs/config.md: every section and key with default, accepted values and meaning.
std::string config_reference_markdown();

/// Layers of each block, blocks.count of them: blocks.layers, or the even split in which block b owns layers
/// [bL/B, (b+1)L/B) (method: section 1). In an end-to-end run this split still says which layers a block of the
/// compared block-local run has.
std::vector<int> layers_per_block(const Config& config);

/// Seed of block `block` for weights and noise: blocks.seeds[block], or `seed`. The order of the data follows `seed`.
std::uint64_t block_seed(const Config& config, int block);

}  // namespace blocktrain::trainer
