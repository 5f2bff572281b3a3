#include <algorithm>
#include <array>
#include <stdexcept>

#include "kernels/error.hpp"
#include "trainer/config/experiment.hpp"
#include "trainer/config/values.hpp"
#include "trainer/support/sha256.hpp"

namespace blocktrain::trainer {
namespace {

constexpr std::string_view kDecaySteps = "optimizer.decay_steps";
constexpr std::string_view kFollowsBudget = "-1";

/// Keys that the first version wrote into the text of an identity always with the same value.
constexpr std::array<std::pair<std::string_view, std::string_view>, 2> kFixedLines{
    {{"data.path", "\"\""}, {"data.format", "auto"}}};

/// A key that is given by others unless its author chose it, and those others.
struct Derived {
  std::string_view key;
  std::array<std::string_view, 2> from;
};
constexpr std::array<Derived, 2> kDerived{
    {{"blocks.layers", {"blocks.count", "model.layers"}}, {"blocks.seeds", {"blocks.count", "seed"}}}};

std::string value_of(std::span<const Field> fields, std::string_view name) {
  for (const Field& field : fields) {
    if (field.name() == name) return to_yaml_value(field.value);
  }
  throw std::logic_error("there is no key " + std::string(name));
}

const ExperimentKey* find(const std::vector<ExperimentKey>& keys, std::string_view name) {
  const auto found = std::find_if(keys.begin(), keys.end(), [name](const ExperimentKey& k) { return k.name == name; });
  return found == keys.end() ? nullptr : &*found;
}

bool agree(const ExperimentKey& run, const ExperimentKey& now) {
  if (run.value == now.value) return true;
  if (now.name != kDecaySteps) return false;
  if (now.value == kFollowsBudget) return now.comes_to == run.value;
  // What it came to is not known of a run read from its manifest.
  return run.value == kFollowsBudget && (run.comes_to.empty() || run.comes_to == now.value);
}

std::string in_words(const ExperimentKey& key) {
  return key.comes_to.empty() ? key.value : key.value + " (budget.steps, " + key.comes_to + ")";
}

}  // namespace

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

Experiment experiment_of(std::span<const Field> fields) {
  Experiment experiment;
  // The first line changes whenever the same keys come to mean other weights.
  std::string text = "blocktrain experiment 1\n";
  for (const Field& field : fields) {
    const std::string name = field.name();
    for (const auto& [fixed, value] : kFixedLines) {
      if (name == fixed) text += name + "=" + std::string(value) + "\n";
    }
    if (!part_of_identity(field)) continue;
    ExperimentKey key{name, to_yaml_value(field.value), "", std::string(field.as_before)};
    if (name == kDecaySteps && key.value == kFollowsBudget) key.comes_to = value_of(fields, "budget.steps");
    if (key.counts()) text += name + "=" + (key.comes_to.empty() ? key.value : key.comes_to) + "\n";
    experiment.keys.push_back(std::move(key));
  }
  experiment.identity = sha256_hex(text);
  return experiment;
}

Experiment experiment_of(const Config& config) {
  Config written_out = config;
  written_out.blocks.layers = layers_per_block(config);
  written_out.blocks.seeds.clear();
  for (int b = 0; b < config.blocks.count; ++b) written_out.blocks.seeds.push_back(block_seed(config, b));
  return experiment_of(describe(written_out));
}

std::string experiment_identity(const Config& config) { return experiment_of(config).identity; }

std::vector<KeyDifference> differing_keys(const Experiment& run, const Experiment& now) {
  std::vector<KeyDifference> all;
  for (const ExperimentKey& key : now.keys) {
    ExperimentKey in_run{key.name, key.as_before, "", key.as_before};
    if (const ExperimentKey* found = find(run.keys, key.name)) in_run = *found;
    if (agree(in_run, key)) continue;
    all.push_back({key.name, in_run.value.empty() ? "not named" : in_words(in_run), in_words(key)});
  }
  for (const ExperimentKey& key : run.keys) {
    if (key.counts() && find(now.keys, key.name) == nullptr) {
      all.push_back({key.name, in_words(key), "not known to this version"});
    }
  }
  const auto differs = [&all](std::string_view name) {
    return std::any_of(all.begin(), all.end(), [name](const KeyDifference& d) { return d.name == name; });
  };
  std::vector<KeyDifference> named;
  for (const KeyDifference& difference : all) {
    const auto derived =
        std::find_if(kDerived.begin(), kDerived.end(), [&](const Derived& d) { return d.key == difference.name; });
    if (derived == kDerived.end() || std::none_of(derived->from.begin(), derived->from.end(), differs)) {
      named.push_back(difference);
    }
  }
  return named;
}

std::string to_text(const std::vector<KeyDifference>& differences) {
  std::string text;
  for (const KeyDifference& d : differences)
    text += "\n  " + d.name + ": " + d.in_run + " in the run, " + d.now + " now";
  return text;
}

void set_as_before(const Field& field) {
  if (const auto wrong = assign(field, parse_document(field.as_before))) {
    throw std::logic_error("the value of " + field.name() + " that means as before is none of its values: " + *wrong);
  }
}

}  // namespace blocktrain::trainer
