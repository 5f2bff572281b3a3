#include "trainer/config/config.hpp"

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "trainer/config/describe.hpp"
#include "trainer/config/values.hpp"

namespace blocktrain::trainer {

using namespace blocks;  // the words of settings

namespace {

constexpr std::int64_t kMostLayers = 4096;

template <class Entry>
const Entry& required(const Entry* entry, std::string_view what, std::string_view name) {
  if (entry == nullptr) throw std::logic_error("there is no " + std::string(what) + " " + std::string(name));
  return *entry;
}

std::string text(std::int64_t v) { return std::to_string(v); }

}  // namespace

Config::Config() : Config(architectures().front()) {}

Config::Config(const Architecture& of)
    : architecture(of.options()), objective(objective_entry_of(of).options()), task(task_entry_of(of).options()) {
  model.architecture = of.name;
  const std::vector<Setting> all = describe(*this);
  for (const auto& defaults : {task_entry_of(of).defaults, objective_entry_of(of).defaults, of.defaults}) {
    for (const SettingDefault& d : defaults) {
      set_from_text(required(find_setting(all, d.name), "key", d.name), d.value);
    }
  }
}

const Architecture& architecture_of(const Config& config) {
  return required(find_architecture(config.model.architecture), "architecture", config.model.architecture);
}

const ObjectiveEntry& objective_entry_of(const Architecture& architecture) {
  return required(find_objective(architecture.objective), "objective", architecture.objective);
}

const TaskEntry& task_entry_of(const Architecture& architecture) {
  return required(find_task(architecture.task), "task", architecture.task);
}

void LogConfig::describe(std::vector<Setting>& out) {
  out.push_back({"log", "directory", PathValue{&directory},
                 "The RUN folder: config, ledger, checkpoints and reports. Relative to the current directory; every "
                 "rank must see it.",
                 true});
}

void ModelConfig::describe(std::vector<Setting>& out) {
  ChoiceValue kind{&architecture, {}};
  for (const Architecture& a : architectures()) kind.accepted.push_back(a.name);
  out.push_back({"model", "architecture", std::move(kind),
                 "Kind of network; it decides which other keys there are, and their defaults."});
  out.push_back(
      {"model", "layers", integer(layers, 1, kMostLayers), "Layers of the whole network, all blocks together."});
  out.push_back({"model", "width", integer(width, 1, 65536), "Numbers per token; a multiple of model.heads."});
  out.push_back({"model", "heads", integer(heads, 1, 4096), "Attention heads per layer."});
}

void ModelConfig::describe_last(std::vector<Setting>& out) {
  using kernels::DType;
  out.push_back({"model", "precision", one_of(precision, {DType::float32, DType::bfloat16}),
                 "What layers compute in. bfloat16: on GPUs alone, with float32 sums, weights and moments."});
}

void ModelConfig::check(std::vector<Conflict>& out) const {
  if (width % heads == 0) return;
  const std::int64_t below_it = width - width % heads, above_it = below_it + heads;
  out.push_back({{"model.width", "model.heads"},
                 "found model.width " + text(width) + " with model.heads " + text(heads) +
                     "; accepted: a width that the heads divide evenly, such as " +
                     text(below_it > 0 ? below_it : above_it)});
}

void BlocksConfig::describe(std::vector<Setting>& out) {
  constexpr auto most = static_cast<std::size_t>(kMostLayers);
  out.push_back({"blocks", "count", integer(count, 1, kMostLayers), "Number of blocks, at most one per layer."});
  out.push_back({"blocks", "layers", IntListValue{&layers, {1, kMostLayers}, {0, most}},
                 "Layers of each block, highest noise first; they add up to model.layers. []: as even as can be."});
  out.push_back({"blocks", "training", one_of(training),
                 "block_local: each block trains alone on its noise interval. end_to_end: the usual way, one "
                 "network of all layers, to compare with."});
  out.push_back({"blocks", "seeds", SeedListValue{&seeds, {0, most}},
                 "One seed per block for its weights and noise. []: `seed` for all."});
}

void BlocksConfig::check(const ModelConfig& model, std::vector<Conflict>& out) const {
  if (count > model.layers) {
    out.push_back({{"blocks.count", "model.layers"},
                   "found more blocks than layers, blocks.count " + text(count) + " with model.layers " +
                       text(model.layers) + "; accepted: at most one block per layer"});
  }
  if (!layers.empty()) {
    const std::int64_t sum = std::accumulate(layers.begin(), layers.end(), std::int64_t{0});
    if (layers.size() != static_cast<std::size_t>(count)) {
      out.push_back({{"blocks.layers", "blocks.count"},
                     "found blocks.layers of " + std::to_string(layers.size()) + " blocks with blocks.count " +
                         text(count) + "; accepted: one number per block"});
    }
    if (sum != model.layers) {
      out.push_back({{"blocks.layers", "model.layers"},
                     "found blocks.layers that add up to " + text(sum) + " with model.layers " + text(model.layers) +
                         "; accepted: a list that adds up to model.layers"});
    }
  }
  if (!seeds.empty() && seeds.size() != static_cast<std::size_t>(count)) {
    out.push_back({{"blocks.seeds", "blocks.count"},
                   "found " + std::to_string(seeds.size()) + " blocks.seeds with blocks.count " + text(count) +
                       "; accepted: one seed per block, or []"});
  }
}

std::vector<int> layers_per_block(const Config& config) {
  if (!config.blocks.layers.empty()) return config.blocks.layers;
  const std::int64_t layers = config.model.layers, count = config.blocks.count;
  std::vector<int> split(static_cast<std::size_t>(count));
  for (std::int64_t b = 0; b < count; ++b) {
    split[static_cast<std::size_t>(b)] = static_cast<int>((b + 1) * layers / count - b * layers / count);
  }
  return split;
}

std::uint64_t block_seed(const Config& config, int block) {
  return config.blocks.seeds.empty() ? config.seed : config.blocks.seeds.at(static_cast<std::size_t>(block));
}

}  // namespace blocktrain::trainer
