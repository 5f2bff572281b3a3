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

/// What the first version wrote into the text of every identity at the place of data.path.
constexpr std::string_view kFixedKey = "data.path";
constexpr std::string_view kFixedLines = "data.path=\"\"\ndata.format=auto\n";

constexpr std::string_view kArchitecture = "model.architecture";

/// A key that is given by others unless its author chose it, and those others.
struct Derived {
  std::string_view key;
  std::array<std::string_view, 2> from;
};
constexpr std::array<Derived, 2> kDerived{
    {{"blocks.layers", {"blocks.count", "model.layers"}}, {"blocks.seeds", {"blocks.count", "seed"}}}};

std::string text_of(std::span<const Setting> settings, std::string_view name) {
  for (const Setting& setting : settings) {
    if (setting.name() == name) return to_yaml_value(setting.value);
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

Experiment experiment_of(std::span<const Setting> settings) {
  Experiment experiment;
  // The first line changes whenever the same keys come to mean other weights.
  std::string text = "blocktrain experiment 1\n";
  for (const Setting& setting : settings) {
    const std::string name = setting.name();
    if (name == kFixedKey) text += kFixedLines;
    if (!part_of_identity(setting)) continue;
    ExperimentKey key{name, to_yaml_value(setting.value), "", std::string(setting.as_before)};
    if (name == kDecaySteps && key.value == kFollowsBudget) key.comes_to = text_of(settings, "budget.steps");
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
  const ExperimentKey* was = find(run.keys, kArchitecture);
  const ExperimentKey* is = find(now.keys, kArchitecture);
  // Then keys that only one of them has go without saying.
  const bool other_architecture = was != nullptr && is != nullptr && was->value != is->value;
  for (const ExperimentKey& key : now.keys) {
    ExperimentKey in_run{key.name, key.as_before, "", key.as_before};
    if (const ExperimentKey* found = find(run.keys, key.name)) {
      in_run = *found;
    } else if (other_architecture) {
      continue;
    }
    if (agree(in_run, key)) continue;
    all.push_back({key.name, in_run.value.empty() ? "not named" : in_words(in_run), in_words(key)});
  }
  for (const ExperimentKey& key : run.keys) {
    if (key.counts() && !other_architecture && find(now.keys, key.name) == nullptr) {
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

void set_as_before(const Setting& setting) { set_from_text(setting, setting.as_before); }

}  // namespace blocktrain::trainer
