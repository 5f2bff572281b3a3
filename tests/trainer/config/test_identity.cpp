// Which changes make another experiment, and that what made one stays what it is in every later version.
#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "tests/trainer/config/support.hpp"
#include "trainer/config/describe.hpp"
#include "trainer/config/experiment.hpp"
#include "trainer/config/values.hpp"

using namespace blocktrain::trainer;
using namespace blocktrain::trainer::test;

BOOST_AUTO_TEST_SUITE(config_identity)

namespace {

/// "name: run -> now" of every difference.
std::set<std::string> differences(const Experiment& run, const Experiment& now) {
  std::set<std::string> all;
  for (const KeyDifference& d : differing_keys(run, now)) all.insert(d.name + ": " + d.in_run + " -> " + d.now);
  return all;
}

std::set<std::string> between(const std::vector<std::string>& run, const std::vector<std::string>& now) {
  return differences(experiment_of(load("", run)), experiment_of(load("", now)));
}

using Names = std::set<std::string>;

/// A run's experiment as its manifest gives it.
Experiment as_in_manifest(const Experiment& experiment) {
  Experiment kept(experiment.identity);
  for (const ExperimentKey& key : experiment.keys) {
    if (key.counts()) kept.keys.push_back({key.name, key.value, "", ""});
  }
  return kept;
}

/// The keys of the program and one that a later version may bring.
struct WithLaterKey {
  Config config = load("", {"blocks.layers=[3, 3, 3, 3]", "blocks.seeds=[0, 0, 0, 0]"});
  bool gated = false;
  Experiment experiment() {
    std::vector<Setting> fields = describe(config);
    const auto model =
        std::find_if(fields.begin(), fields.end(), [](const Setting& f) { return f.name() == "model.heads"; });
    fields.insert(model, added("0.2", "false", {"model", "gated", BooleanValue{&gated}, "A key of a later version."}));
    return experiment_of(fields);
  }
};

}  // namespace

// Computed apart from the program: SHA-256 of "blocktrain experiment 1\n" and a line NAME=VALUE per key. When this
// fails, runs that people have can be neither resumed nor evaluated.
BOOST_AUTO_TEST_CASE(identities_of_the_first_version_never_change) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> expected = {
      {{}, "23d0b1c75c62b38fadaf55899e1f645fe67760d2922c74402c9fd1978c0368d9"},
      {{"seed=5"}, "462ba7e1372f9bf613a20cf1566d431c144490cd817d465cf7d7c90fd765046c"},
      {{"blocks.layers=[6, 2, 2, 2]", "blocks.seeds=[7, 8, 9, 18446744073709551615]"},
       "fb60df0a15c6ae861878dfeaffc666819b011646726bfb4c58ccef3f57dc8bc3"},
      {{"budget.steps=58"}, "fadfb2bee3125fcc8b05d9fe8ae40f0803c1fa98d9b2fe38cd0ae8c11713f591"},
      {{"optimizer.decay_steps=0"}, "9aea31cc1282a749be147309a4663542c8ef473f9062b208e09df702ea93b203"},
      {{"model.precision=bfloat16", "blocks.training=end_to_end", "noise.partition=uniform", "noise.sampling=partition",
        "objective.weighting=none", "data.flip=true"},
       "2c50660e755cce2b33e00e75d4c808d3c55cafe32474183d8140d39bca63d24a"},
      {{"optimizer.learning_rate=2e-3", "optimizer.epsilon=1e-12", "optimizer.betas=[0.8, 0.95]",
        "noise.sigma_max_fraction=0.1", "optimizer.average_decay=0.9999"},
       "197053114a9fdad5c55a8168b750b5802c50b9a20c2f25e5f9f67f3a5acafd65"},
  };
  for (const auto& [overrides, identity] : expected) {
    BOOST_TEST(experiment_identity(load("", overrides)) == identity,
               (overrides.empty() ? std::string("defaults") : overrides.front()));
  }
}

BOOST_AUTO_TEST_CASE(run_folders_of_earlier_versions_keep_their_identities) {
  const char* source = std::getenv("BLOCKTRAIN_TEST_SOURCE_DIR");
  BOOST_REQUIRE_MESSAGE(source != nullptr, "BLOCKTRAIN_TEST_SOURCE_DIR is not set; ctest sets it");
  const std::filesystem::path runs = std::filesystem::path(source) / "tests/fixtures/old-runs";
  int found = 0;
  for (const auto& version : std::filesystem::directory_iterator(runs)) {
    for (const char* name : {"finished", "interrupted"}) {
      const std::filesystem::path run = version.path() / name;
      if (!std::filesystem::exists(run / "config.yaml")) continue;
      ++found;
      std::ifstream manifest(run / "checkpoints/manifest.json");
      const std::string text{std::istreambuf_iterator<char>(manifest), {}};
      const std::string identity = experiment_identity(load_run_folder_config(run.string(), {}));
      BOOST_TEST(text.find("\"experiment\": \"" + identity + "\"") != std::string::npos, run.string());
    }
  }
  BOOST_TEST(found >= 2);
}

BOOST_AUTO_TEST_CASE(a_later_key_counts_where_it_does_not_mean_as_before) {
  WithLaterKey later;
  const Experiment before = experiment_of(later.config), same = later.experiment();
  BOOST_TEST(same.identity == before.identity);
  BOOST_TEST((as_in_manifest(same).keys == as_in_manifest(before).keys));
  BOOST_TEST((differences(as_in_manifest(before), same).empty()));
  BOOST_TEST((differences(same, before).empty()));  // an earlier program does not know the key

  later.gated = true;
  const Experiment other = later.experiment();
  BOOST_TEST(other.identity != before.identity);
  BOOST_TEST((differences(as_in_manifest(before), other) == Names{"model.gated: false -> true"}));
  BOOST_TEST((differences(same, other) == Names{"model.gated: false -> true"}));
  BOOST_TEST((differences(as_in_manifest(other), same) == Names{"model.gated: true -> false"}));
  BOOST_TEST((differences(as_in_manifest(other), before) == Names{"model.gated: true -> not known to this version"}));
  BOOST_TEST((differences(as_in_manifest(other), other).empty()));
}

BOOST_AUTO_TEST_CASE(a_run_folder_without_a_later_key_is_read_as_before) {
  bool gated = true;  // the default of a later version
  set_as_before(added("0.2", "false", {"model", "gated", BooleanValue{&gated}, ""}));
  BOOST_TEST(!gated);
  // One that does not read back would never be found to mean as before.
  Config config;
  for (const Setting& setting : describe(config)) {
    if (setting.since.empty()) continue;
    set_as_before(setting);
    BOOST_TEST(to_yaml_value(setting.value) == setting.as_before, setting.name());
  }
}

BOOST_AUTO_TEST_CASE(what_differs_is_named_with_both_values) {
  BOOST_TEST((between({}, {"model.width=192", "data.format=idx", "data.path=e", "budget.tokens=5"}) ==
              Names{"model.width: 384 -> 192"}));
  // What follows from other keys goes without saying.
  BOOST_TEST((between({}, {"blocks.count=3"}) == Names{"blocks.count: 4 -> 3"}));
  BOOST_TEST((between({}, {"seed=1"}) == Names{"seed: 0 -> 1"}));
  BOOST_TEST((between({}, {"blocks.seeds=[0, 0, 0, 1]"}) == Names{"blocks.seeds: [0, 0, 0, 0] -> [0, 0, 0, 1]"}));
  BOOST_TEST((between({}, {"model.layers=16"}) == Names{"model.layers: 12 -> 16"}));
  BOOST_TEST(to_text({{"a.b", "1", "2"}}) == "\n  a.b: 1 in the run, 2 now");
}

BOOST_AUTO_TEST_CASE(a_decay_that_follows_the_budget_follows_it_on_resume) {
  BOOST_TEST((between({"budget.steps=55"}, {"budget.steps=58"}).empty()));
  BOOST_TEST((between({"budget.steps=55"}, {"budget.steps=40"}).empty()));
  BOOST_TEST((between({"budget.steps=55"}, {"budget.steps=58", "optimizer.decay_steps=55"}).empty()));
  BOOST_TEST((between({"budget.steps=55", "optimizer.decay_steps=55"}, {"budget.steps=55"}).empty()));
  BOOST_TEST((between({"budget.steps=55", "optimizer.decay_steps=55"}, {"budget.steps=58"}) ==
              Names{"optimizer.decay_steps: 55 -> -1 (budget.steps, 58)"}));
  BOOST_TEST((between({"budget.steps=55"}, {"budget.steps=55", "optimizer.decay_steps=0"}) ==
              Names{"optimizer.decay_steps: -1 (budget.steps, 55) -> 0"}));
  const Experiment kept = as_in_manifest(experiment_of(load("", {"budget.steps=55"})));
  BOOST_TEST((differences(kept, experiment_of(load("", {"budget.steps=58"}))).empty()));
}

BOOST_AUTO_TEST_CASE(what_changes_the_weights_changes_it_and_nothing_else_does) {
  const std::string id = experiment_identity(load(""));
  const std::vector<std::string> others = {"log.directory=x",
                                           "budget.seconds=5",
                                           "eval.every_steps=5",
                                           "eval.steps=[2]",
                                           "checkpoint.keep=3",
                                           "parallel.threads=2",
                                           "parallel.transport=local",
                                           "parallel.activation_checkpointing=layer",
                                           "parallel.gpu_transport=host",
                                           "parallel.cuda_graphs=false",
                                           "energy.price_usd_per_kwh=1",
                                           "checkpoint.every_steps=9",
                                           "optimizer.decay_steps=1000",  // what -1 means with 1,000 steps
                                           "blocks.layers=[3, 3, 3, 3]",
                                           "blocks.seeds=[0, 0, 0, 0]",  // the defaults, written out
                                           "data.path=e",  // that the data are the same, their digest says
                                           "data.shape=[1, 28, 28]",
                                           "data.classes=10",
                                           "data.format=idx"};
  for (const std::string& other : others) {
    BOOST_TEST(experiment_identity(load("", {other})) == id, other);
    BOOST_TEST(between({}, {other}).empty(), other);
  }

  const std::vector<std::string> changes = {"seed=1",
                                            "data.batch=64",
                                            "data.flip=true",
                                            "data.micro_batch=64",
                                            "model.layers=16",
                                            "model.width=192",
                                            "model.heads=4",
                                            "model.patch=4",
                                            "model.mlp_ratio=2",
                                            "model.label_dropout=0.2",
                                            "blocks.count=3",
                                            "blocks.layers=[6, 2, 2, 2]",
                                            "blocks.training=end_to_end",
                                            "blocks.seeds=[0, 0, 0, 1]",
                                            "noise.overlap=0",
                                            "noise.sigma_max=79",
                                            "noise.partition=uniform",
                                            "noise.sampling=uniform_log",
                                            "noise.p_mean=-1",
                                            "noise.p_std=1",
                                            "noise.sigma_data=1",
                                            "noise.sigma_max_fraction=0.1",
                                            "objective.weighting=none",
                                            "optimizer.learning_rate=0.1",
                                            "optimizer.betas=[0.9, 0.99]",
                                            "optimizer.decay_steps=0",
                                            "optimizer.warmup_steps=1",
                                            "optimizer.clip_norm=2",
                                            "budget.steps=2000"};
  std::set<std::string> seen = {id};
  for (const std::string& change : changes) {
    BOOST_TEST(seen.insert(experiment_identity(load("", {change}))).second, change);
    // Of another budget it is the decay that follows it.
    BOOST_TEST(between({}, {change}).empty() == (change == "budget.steps=2000"), change);
  }
  // With a decay of its own, a longer run is the same experiment.
  const std::string fixed = "optimizer.decay_steps=500";
  BOOST_TEST(experiment_identity(load("", {fixed, "budget.steps=2000"})) == experiment_identity(load("", {fixed})));
}

BOOST_AUTO_TEST_CASE(layers_are_split_as_evenly_as_can_be) {
  BOOST_TEST((layers_per_block(load("", {"model.layers=10", "blocks.count=4"})) == std::vector<int>{2, 3, 2, 3}));
  BOOST_TEST((layers_per_block(load("", {"model.layers=12", "blocks.count=3"})) == std::vector<int>{4, 4, 4}));
  BOOST_TEST((layers_per_block(load("", {"blocks.layers=[6, 3, 2, 1]"})) == std::vector<int>{6, 3, 2, 1}));
  BOOST_TEST(layers_per_block(load("", {"model.layers=4096", "blocks.count=4096"})).size() == 4096u);
}

BOOST_AUTO_TEST_CASE(blocks_take_their_own_seed_or_the_common_one) {
  BOOST_TEST(block_seed(load("seed: 5"), 3) == 5u);
  BOOST_TEST(block_seed(load("seed: 5\nblocks: {count: 2, seeds: [8, 9]}"), 1) == 9u);
}

BOOST_AUTO_TEST_SUITE_END()
