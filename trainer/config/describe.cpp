#include "trainer/config/describe.hpp"

#include <limits>
#include <stdexcept>
#include <type_traits>

namespace blocktrain::trainer {
namespace {

// Upper ends keep every product of sizes inside 64 bits (see also check.cpp) and are far above any real experiment.
constexpr std::int64_t kMostSteps = std::numeric_limits<std::int32_t>::max();
constexpr std::int64_t kMostImages = std::int64_t{1} << 24;
constexpr std::int64_t kMostLayers = 4096;
constexpr std::int64_t kLongestSide = 65536;

// Indexed by the enumerators; names() compares the last ones.
constexpr std::string_view kArchitectures[] = {"dit"};
constexpr std::string_view kTrainingModes[] = {"block_local", "end_to_end"};
constexpr std::string_view kPartitions[] = {"equal_probability", "uniform", "uniform_log"};
constexpr std::string_view kSamplings[] = {"lognormal", "uniform_log", "partition"};
constexpr std::string_view kWeightings[] = {"edm", "none"};
constexpr std::string_view kDevices[] = {"auto", "cpu", "cuda"};
constexpr std::string_view kPrecisions[] = {"float32", "bfloat16"};
constexpr std::string_view kGpuTransports[] = {"auto", "nccl", "host"};
constexpr std::string_view kTransports[] = {"auto", "mpi", "local"};
constexpr std::string_view kCheckpointings[] = {"none", "layer"};
constexpr std::string_view kFormats[] = {"auto", "idx", "cifar10", "cifar100"};
constexpr std::string_view kSamplers[] = {"euler", "heun", "ancestral"};

template <class Enum>
NameField names(Enum& value, Enum last, std::span<const std::string_view> accepted) {
  static_assert(std::is_same_v<std::underlying_type_t<Enum>, std::uint8_t>);
  if (static_cast<std::size_t>(last) + 1 != accepted.size()) throw std::logic_error("an enum lacks a spelling");
  return {reinterpret_cast<std::uint8_t*>(&value), {accepted}};
}
IntField integer(int& value, std::int64_t lowest, std::int64_t highest) { return {&value, {lowest, highest}}; }
LongField integer(std::int64_t& value, std::int64_t lowest, std::int64_t highest) {
  return {&value, {lowest, highest}};
}
NumberField number(double& value, double lowest, double highest) { return {&value, {lowest, highest}}; }
NumberField above(double& value, double lowest, double highest) { return {&value, {lowest, highest, true, false}}; }
NumberField below(double& value, double lowest, double highest) { return {&value, {lowest, highest, false, true}}; }
/// A limit of a run: any amount, 0 for none.
NumberField amount(double& value) { return number(value, 0, 1e30); }

constexpr Section kSections[] = {
    {"log", "Where a run keeps what it writes."},
    {"data", "The images to learn, and how many at a time."},
    {"model", "The whole network; blocks share out its layers."},
    {"blocks", "How the network is cut into blocks, and whether they train alone."},
    {"noise", "The noise range and each block's part of it (method of DiffusionBlocks and EDM)."},
    {"objective", "The loss."},
    {"optimizer", "AdamW and its learning rate: linear warm-up, then half a cosine."},
    {"budget", "When training ends: at the first limit reached."},
    {"eval", "How the quality of the network is measured."},
    {"checkpoint", "How often a run is saved."},
    {"parallel", "Where and how the work is done: ranks, threads, devices, memory. The experiment stays the same."},
    {"energy", "Where joules are read and what they cost."},
};

void describe_data_and_model(std::vector<Field>& fields, Config& c) {
  fields.push_back({"", "seed", SeedField{&c.seed}, "Seed of the weights, the noise and the order of the data."});

  fields.push_back({"log", "directory", PathField{&c.log.directory},
                    "The RUN folder: config, ledger, checkpoints and reports. Relative to the current directory; every "
                    "rank must see it.",
                    true});

  // That the data are the same is checked by their digest.
  fields.push_back(not_training({"data", "path", PathField{&c.data.path},
                                 "Folder with the data set's files. Relative to the current directory.", true}));
  fields.push_back(not_training({"data", "format", names(c.data.format, DataFormat::cifar100, kFormats),
                                 "Format of the files; auto goes by their names: idx is that of MNIST."}));
  // What they say is checked against the data.
  fields.push_back(
      not_training({"data", "shape", IntListField{&c.data.shape, {1, kLongestSide}, {0, 3}},
                    "Channels, height and width of an image, [3, 32, 32] for instance. With it and "
                    "data.classes, plan needs no data; data of another shape are refused. []: the data say."}));
  fields.push_back(not_training({"data", "classes", integer(c.data.classes, 0, most_classes),
                                 "Number of classes, declared as data.shape is. 0: the data say."}));
  fields.push_back({"data", "batch", integer(c.data.batch, 1, kMostImages), "Images per step and block."});
  fields.push_back({"data", "micro_batch", integer(c.data.micro_batch, 0, kMostImages),
                    "Images per forward and backward pass; less needs less memory and more passes. 0: chosen by the "
                    "plan."});
  fields.push_back({"data", "flip", BooleanField{&c.data.flip}, "Mirrors half of the images, drawn at random."});

  fields.push_back({"model", "architecture", names(c.model.architecture, Architecture::dit, kArchitectures),
                    "Kind of network. dit: diffusion transformer that generates images of a class."});
  fields.push_back({"model", "layers", integer(c.model.layers, 1, kMostLayers),
                    "Layers of the whole network, all blocks together."});
  fields.push_back(
      {"model", "width", integer(c.model.width, 1, 65536), "Numbers per token; a multiple of model.heads."});
  fields.push_back({"model", "heads", integer(c.model.heads, 1, 4096), "Attention heads per layer."});
  fields.push_back({"model", "patch", integer(c.model.patch, 1, 1024),
                    "Side of the square of pixels that makes one token; divides the image's height and width."});
  fields.push_back({"model", "mlp_ratio", integer(c.model.mlp_ratio, 1, 64),
                    "Hidden width of a layer's MLP, as a multiple of model.width."});
  fields.push_back({"model", "label_dropout", below(c.model.label_dropout, 0, 1),
                    "Share of labels replaced by \"none\" in training, so that guidance is possible."});
  fields.push_back({"model", "precision", names(c.model.precision, Precision::bfloat16, kPrecisions),
                    "What layers compute in. bfloat16: on GPUs alone, with float32 sums, weights and moments."});
}

void describe_method(std::vector<Field>& fields, Config& c) {
  fields.push_back(
      {"blocks", "count", integer(c.blocks.count, 1, kMostLayers), "Number of blocks, at most one per layer."});
  fields.push_back({"blocks", "layers",
                    IntListField{&c.blocks.layers, {1, kMostLayers}, {0, static_cast<std::size_t>(kMostLayers)}},
                    "Layers of each block, highest noise first; they add up to model.layers. []: as even as can be."});
  fields.push_back({"blocks", "training", names(c.blocks.training, TrainingMode::end_to_end, kTrainingModes),
                    "block_local: each block trains alone on its noise interval. end_to_end: the usual way, one "
                    "network of all layers, to compare with."});
  fields.push_back({"blocks", "seeds", SeedListField{&c.blocks.seeds, {0, static_cast<std::size_t>(kMostLayers)}},
                    "One seed per block for its weights and noise. []: `seed` for all."});

  fields.push_back({"noise", "partition", names(c.noise.partition, Partition::uniform_log, kPartitions),
                    "How the noise range is shared out: equal probability under the log-normal, equal steps in sigma, "
                    "or equal steps in log sigma."});
  fields.push_back({"noise", "sampling", names(c.noise.sampling, NoiseSampling::partition, kSamplings),
                    "How sigma is drawn within a block's interval: from the log-normal restricted to it, uniform in "
                    "log sigma, or uniform in the partition's own coordinate."});
  fields.push_back({"noise", "overlap", number(c.noise.overlap, 0, 1),
                    "gamma: how far a block trains beyond its interval, as a share of the interval's length in log "
                    "sigma, on either side."});
  fields.push_back({"noise", "sigma_min", number(c.noise.sigma_min, 1e-6, 1e6),
                    "Lowest noise level, in the units of the pixels that the network sees."});
  fields.push_back(
      {"noise", "sigma_max", number(c.noise.sigma_max, 1e-6, 1e6), "Highest noise level, where generation starts."});
  fields.push_back({"noise", "sigma_data", number(c.noise.sigma_data, 1e-3, 1e3), "Standard deviation of the data."});
  fields.push_back({"noise", "p_mean", number(c.noise.p_mean, -50, 50), "Mean of log sigma in the log-normal."});
  fields.push_back(
      {"noise", "p_std", number(c.noise.p_std, 0.01, 100), "Standard deviation of log sigma in the log-normal."});
  fields.push_back({"noise", "sigma_max_fraction", number(c.noise.sigma_max_fraction, 0, 1),
                    "Share of block 0's draws that are exactly sigma_max."});

  fields.push_back({"objective", "weighting", names(c.objective.weighting, Weighting::none, kWeightings),
                    "Weight of a sample's loss: edm, (sigma^2 + sigma_data^2)/(sigma sigma_data)^2, or none."});
}

void describe_training(std::vector<Field>& fields, Config& c) {
  fields.push_back({"optimizer", "learning_rate", above(c.optimizer.learning_rate, 0, 10),
                    "Highest learning rate, reached at the end of warm-up."});
  fields.push_back({"optimizer", "weight_decay", number(c.optimizer.weight_decay, 0, 100),
                    "Decoupled weight decay of matrices, per unit of learning rate."});
  fields.push_back({"optimizer", "betas", NumberListField{&c.optimizer.betas, {0, 1, false, true}, {2, 2}},
                    "Decay per step of the averages of the gradient and of its square."});
  fields.push_back(
      {"optimizer", "epsilon", number(c.optimizer.epsilon, 1e-30, 1), "Added to the divisor of an update."});
  fields.push_back({"optimizer", "clip_norm", number(c.optimizer.clip_norm, 0, 1e30),
                    "Largest norm of a block's gradient; longer ones are scaled down. 0: none are."});
  fields.push_back({"optimizer", "warmup_steps", integer(c.optimizer.warmup_steps, 0, kMostSteps),
                    "Steps over which the learning rate rises from 0."});
  fields.push_back({"optimizer", "decay_steps", integer(c.optimizer.decay_steps, -1, kMostSteps),
                    "Step at which the cosine that follows warm-up ends. -1: budget.steps. 0: no decay."});
  fields.push_back({"optimizer", "final_fraction", number(c.optimizer.final_fraction, 0, 1),
                    "Learning rate at the end of the decay, as a fraction of learning_rate."});
  fields.push_back({"optimizer", "average_decay", below(c.optimizer.average_decay, 0, 1),
                    "Decay per step of an exponential moving average of the weights, which eval and generate then "
                    "use. 0: no average."});

  fields.push_back({"budget", "steps", integer(c.budget.steps, 1, kMostSteps), "Steps of each block."});
  fields.push_back(
      {"budget", "tokens", amount(c.budget.tokens), "Tokens (targets predicted) of the whole run. 0: no limit."});
  fields.push_back(
      {"budget", "joules", amount(c.budget.joules), "Measured energy of the whole run in joules. 0: no limit."});
  fields.push_back({"budget", "dollars", amount(c.budget.dollars),
                    "Price of that energy in US dollars, by energy.price_usd_per_kwh. 0: no limit."});
  fields.push_back(
      {"budget", "seconds", amount(c.budget.seconds), "Wall-clock time of the whole run in seconds. 0: no limit."});

  fields.push_back({"eval", "every_steps", integer(c.eval.every_steps, 0, kMostSteps),
                    "Steps of a block between two held-out losses while it trains. 0: only by `blocktrain eval`."});
  fields.push_back({"eval", "images", integer(c.eval.images, 1, kMostImages), "Held-out images per loss."});
  fields.push_back({"eval", "samples", integer(c.eval.samples, 2, kMostImages),
                    "Generated images for the agreement with a classifier and for Frechet distances."});
  fields.push_back({"eval", "steps", IntListField{&c.eval.steps, {1, 100000}, {1, 64}},
                    "Numbers of sampling steps to compare, each once."});
  fields.push_back({"eval", "sampler", names(c.eval.sampler, SamplerKind::ancestral, kSamplers),
                    "How noise is turned into images; heun runs the network twice per step, ancestral adds noise."});
  fields.push_back({"eval", "guidance", number(c.eval.guidance, 0, 100),
                    "Strength of classifier-free guidance. 1: none, and half the work."});
  fields.push_back({"eval", "batch", integer(c.eval.batch, 0, 65535),
                    "Images at a time of `blocktrain eval` and `generate`. 0: 128 on a CPU, 16 to 1024 on a GPU, the "
                    "more the fewer patches an image has."});
}

void describe_running(std::vector<Field>& fields, Config& c) {
  fields.push_back({"checkpoint", "every_steps", integer(c.checkpoint.every_steps, 1, kMostSteps),
                    "Steps of a block between two checkpoints; the end and an interruption are saved as well."});
  fields.push_back(
      {"checkpoint", "keep", integer(c.checkpoint.keep, 1, 1000000), "Checkpoints kept per block, newest first."});

  fields.push_back(
      {"parallel", "device", names(c.parallel.device, DeviceChoice::cuda, kDevices),
       "Where blocks compute, also in `blocktrain eval` and `generate`: the CPU or NVIDIA GPUs. auto takes GPUs "
       "where every rank sees one."});
  fields.push_back({"parallel", "transport", names(c.parallel.transport, TransportChoice::local, kTransports),
                    "How ranks talk. mpi: processes started by mpirun. local: threads of one process. auto: mpi under "
                    "mpirun, else local."});
  fields.push_back(
      {"parallel", "gpu_transport", names(c.parallel.gpu_transport, GpuTransportChoice::host, kGpuTransports),
       "How ranks on GPUs exchange gradients of replicas, noise schedules, blocks that move and weights to "
       "evaluate. nccl: directly, a GPU for every rank. host: through host memory. auto: nccl where it "
       "can, else host."});
  fields.push_back({"parallel", "ranks", integer(c.parallel.ranks, 0, 4096),
                    "Ranks of the local transport; with mpi, mpirun's -np decides. 0: one."});
  fields.push_back(
      {"parallel", "threads", integer(c.parallel.threads, 0, 1024),
       "Compute threads per rank. 0: OMP_NUM_THREADS where it is set; else the CPUs that the rank may use, shared "
       "with the ranks of its host that may use the same, and no more than its control groups allow."});
  fields.push_back({"parallel", "steps_per_visit", integer(c.parallel.steps_per_visit, 1, kMostSteps),
                    "Steps that a rank which owns several blocks trains one of them before the next."});
  fields.push_back(
      {"parallel", "rebalance", BooleanField{&c.parallel.rebalance},
       "Whether a rank whose blocks are done takes over a block of a rank that has several left. Changes no "
       "weights."});
  fields.push_back(
      {"parallel", "timeout_seconds", number(c.parallel.timeout_seconds, 0.1, 86400),
       "Longest wait for another rank, in seconds, before the run ends with an error. Time in which the rank that "
       "waits was suspended itself does not count."});
  fields.push_back({"parallel", "cuda_graphs", BooleanField{&c.parallel.cuda_graphs},
                    "Whether a training step on a GPU is captured once as a CUDA graph and then replayed. false: each "
                    "operation is asked for by itself, for profilers and debuggers. Changes no weights."});
  fields.push_back({"parallel", "activation_checkpointing",
                    names(c.parallel.activation_checkpointing, ActivationCheckpointing::layer, kCheckpointings),
                    "What a layer keeps for its backward pass. none: its activations. layer: its input alone, and "
                    "computes the rest again: less memory, up to a third more operations, the same weights."});

  fields.push_back({"energy", "powercap_root", PathField{&c.energy.powercap_root},
                    "Folder of Linux's powercap counters (RAPL), from which CPU and memory joules are read."});
  fields.push_back({"energy", "sample_seconds", number(c.energy.sample_seconds, 0.01, 3600),
                    "Seconds between two readings of the energy sensors."});
  fields.push_back({"energy", "price_usd_per_kwh", number(c.energy.price_usd_per_kwh, 0, 1000),
                    "Price of energy in US dollars per kilowatt-hour."});
}

}  // namespace

std::string Field::name() const {
  return section.empty() ? std::string(key) : std::string(section) + "." + std::string(key);
}

std::vector<Field> describe(Config& config) {
  std::vector<Field> fields;
  fields.reserve(64);
  describe_data_and_model(fields, config);
  describe_method(fields, config);
  describe_training(fields, config);
  describe_running(fields, config);
  return fields;
}

std::span<const Section> sections() { return kSections; }

Field added(std::string_view since, std::string_view as_before, Field field) {
  field.since = since;
  field.as_before = as_before;
  return field;
}

Field not_training(Field field) {
  field.trains = false;
  return field;
}

bool part_of_identity(const Field& field) {
  for (const std::string_view other : {"log", "budget", "eval", "checkpoint", "parallel", "energy"}) {
    if (field.section == other) return false;
  }
  return field.trains;
}

}  // namespace blocktrain::trainer
