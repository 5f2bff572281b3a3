#pragma once
/// What makes an experiment: the keys by which its author decided what weights are trained. Two runs of one experiment
/// train the same weights, so that one may resume the other.
///
/// Out of it stay the sections log, budget, eval, checkpoint, parallel and energy, and keys of others that say nothing
/// about the weights (not_training(), blocks/setting.hpp). A key that a later version adds counts only where its value
/// is not the one that means as before (added(), blocks/setting.hpp), so that runs written before it stay what they
/// are.

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "trainer/config/config.hpp"
#include "trainer/config/describe.hpp"

namespace blocktrain::trainer {

struct ExperimentKey {
  std::string name;   ///< "model.width"
  std::string value;  ///< as YAML, as the author chose it; blocks.layers and blocks.seeds written out
  std::string
      comes_to;  ///< where the value stands for another key's (optimizer.decay_steps -1): that one's; else empty
  std::string as_before;  ///< Setting::as_before; empty for a key that was there from the start

  /// Whether the key is part of the identity, and kept in manifests.
  bool counts() const { return as_before.empty() || value != as_before; }
  bool operator==(const ExperimentKey&) const = default;
};

struct Experiment {
  Experiment() = default;
  // Not explicit: an identity alone is an experiment of which the keys are not known.
  Experiment(std::string id, std::vector<ExperimentKey> list = {}) : identity(std::move(id)), keys(std::move(list)) {}

  bool operator==(const Experiment&) const = default;

  std::string identity;             ///< hex digits; of a run: those that it got when it was started
  std::vector<ExperimentKey> keys;  ///< in the order of describe(); empty: not known
};

/// The experiment that a config describes.
Experiment experiment_of(const Config& config);

/// The same for a list of keys, of which blocks.layers and blocks.seeds are written out.
Experiment experiment_of(std::span<const Setting> settings);

/// SHA-256 (hex) of the keys that count: experiment_of(config).identity. What has a default made from other keys
/// (optimizer.decay_steps, blocks.layers, blocks.seeds) counts with its resolved value. Identities of configs that
/// earlier versions could express never change (tests/trainer/config/test_identity.cpp).
std::string experiment_identity(const Config& config);

/// A key by which two experiments differ, with both values as a message shows them.
struct KeyDifference {
  std::string name, in_run, now;
};

/// What makes `now` another experiment than `run`; nothing: they are the same. Keys that follow from others which
/// differ are not named. With optimizer.decay_steps -1 in the run its author left the end of the decay to budget.steps,
/// which may change, so -1 agrees with -1 whatever the budgets are; an explicit number agrees with what -1 comes to.
std::vector<KeyDifference> differing_keys(const Experiment& run, const Experiment& now);

/// A line per difference: "\n  model.width: 16 in the run, 32 now".
std::string to_text(const std::vector<KeyDifference>& differences);

/// Gives a later key the value that means as before.
void set_as_before(const Setting& setting);

}  // namespace blocktrain::trainer
