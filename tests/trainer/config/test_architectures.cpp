// A second architecture, made up here alone: this binary has a list of its own in place of the program's
// (blocks/architectures/architectures.cpp), and so can show what depends on there being several.
#include <algorithm>
#include <boost/test/unit_test.hpp>

#include "blocks/architectures/architectures.hpp"
#include "blocks/shared_settings.hpp"
#include "tests/trainer/config/support.hpp"
#include "trainer/config/experiment.hpp"
#include "trainer/config/load.hpp"

namespace blocktrain::blocks {
namespace {

/// Patches as dit has them, of another default size; a key of its own, with a conflict.
struct ForestOptions {
  int patch = 4;
  double depth = 0.5;

  void describe(std::vector<Setting>& out) {
    out.push_back(patch_setting(patch));
    out.push_back({"model", "depth", number(depth, 0, 1), "How deep in the forest, as a share."});
  }
  void check(std::span<const Setting> all, std::vector<Conflict>& out) const {
    check_patch(patch, all, out);
    if (depth < 1 || *value_of<double>(all, "noise.overlap") > 0) return;
    out.push_back(
        {{"model.depth", "noise.overlap"}, "found model.depth 1 without overlap; accepted: less, or overlap"});
  }
  bool operator==(const ForestOptions&) const = default;
};

constexpr SettingDefault forest_defaults[] = {
    {"noise.overlap", "0"}, {"noise.sampling", "partition"}, {"data.batch", "32"}, {"eval.steps", "[1, 4]"}};

constexpr Architecture all[] = {
    {.name = "dit", .meaning = "", .objective = "gaussian", .task = "images", .options = options_of<DitOptions>},
    {.name = "forest",
     .meaning = "trees",
     .objective = "gaussian",
     .task = "images",
     .options = options_of<ForestOptions>,
     .defaults = forest_defaults},
};

}  // namespace

std::span<const Architecture> architectures() { return all; }

}  // namespace blocktrain::blocks

using namespace blocktrain::trainer;
using namespace blocktrain::trainer::test;

BOOST_AUTO_TEST_SUITE(config_architectures)

namespace {

const std::string kForest = "model: {architecture: forest}\n";

const ForestOptions& forest(const Config& c) { return c.architecture.as<ForestOptions>(); }

}  // namespace

BOOST_AUTO_TEST_CASE(each_has_its_keys_and_its_defaults) {
  const Config one = load(""), other = load(kForest);
  BOOST_TEST(one.model.architecture == "dit");
  BOOST_TEST(dit(one).patch == 2);
  BOOST_TEST(one.noise.overlap == 0.05);
  BOOST_TEST(one.data.batch == 128);

  BOOST_TEST(other.model.architecture == "forest");
  BOOST_TEST(forest(other).patch == 4);
  BOOST_TEST(forest(other).depth == 0.5);
  BOOST_TEST(other.noise.overlap == 0.0);
  BOOST_TEST((other.noise.sampling == NoiseSampling::partition));
  BOOST_TEST(other.data.batch == 32);
  BOOST_TEST((images(other).steps == std::vector<int>{1, 4}));
  BOOST_TEST(!(other == one));
  BOOST_CHECK_THROW(dit(other), std::logic_error);
}

BOOST_AUTO_TEST_CASE(what_a_config_says_wins_over_every_default) {
  const Config c =
      load("noise: {overlap: 0.2}\nmodel: {depth: 0.25, patch: 8, architecture: forest}\n", {"data.batch=64"});
  BOOST_TEST(c.noise.overlap == 0.2);
  BOOST_TEST(forest(c).depth == 0.25);
  BOOST_TEST(forest(c).patch == 8);
  BOOST_TEST(c.data.batch == 64);
}

BOOST_AUTO_TEST_CASE(the_architecture_of_the_whole_config_counts_wherever_it_is_said) {
  // On the command line, and last: the defaults are those of the one that it ends up with.
  BOOST_TEST(load("", {"model.depth=0.1", "model.architecture=forest"}).noise.overlap == 0.0);
  BOOST_TEST(load(kForest, {"model.architecture=dit"}).noise.overlap == 0.05);
  const ReadConfigFile base = [](const std::string&) { return ConfigFile{kRequired + kForest, "base"}; };
  const Config c = load_with({"extends: base.yaml\nmodel: {depth: 0.75}\n", "main"}, "t.yaml", {}, base);
  BOOST_TEST(forest(c).depth == 0.75);
  BOOST_TEST(c.data.batch == 32);
}

BOOST_AUTO_TEST_CASE(a_key_of_another_architecture_is_an_error_that_says_so) {
  BOOST_TEST(problem("model: {architecture: forest,\n  label_dropout: 0.1}") ==
             "t.yaml:4: model.label_dropout: found a key that architecture 'forest' does not have (with it: dit); "
             "accepted with 'forest': architecture, layers, width, heads, patch, depth, precision");
  BOOST_TEST(contains(problem("", {"model.depth=0.5"}),
                      "--set model.depth=0.5: model.depth: found a key that architecture 'dit' does not have (with it: "
                      "forest); accepted with 'dit': architecture, layers, width, heads, patch, mlp_ratio"));
  // One that nobody has is a misspelling as ever, of the keys that there are here.
  BOOST_TEST(contains(problem(kForest, {"model.depht=1"}), "found an unknown key (did you mean model.depth?)"));
  BOOST_TEST(!contains(problem("", {"model.depht=1"}), "did you mean model.depth?"));
}

BOOST_AUTO_TEST_CASE(a_misspelt_architecture_is_all_that_is_wrong) {
  BOOST_TEST(problem("model: {depth: 0.5, label_dropout: 0.1, architecture: forrest}") ==
             "t.yaml:3: model.architecture: found \"forrest\" (did you mean forest?); accepted: dit, forest");
  BOOST_TEST(contains(problem("model: {architecture: [dit]}"), "model.architecture: found a list"));
}

BOOST_AUTO_TEST_CASE(conflicts_are_told_by_those_who_have_the_keys) {
  BOOST_TEST(problem("model:\n  architecture: forest\n  depth: 1\n") ==
             "t.yaml:5: model.depth: found model.depth 1 without overlap; accepted: less, or overlap");
  BOOST_TEST(problem("model:\n  architecture: forest\n  depth: 1\nnoise: {overlap: 0.1}") == "");
  // The shared key with the words of where it is declared; the default of forest is 4.
  BOOST_TEST(contains(problem(kForest, {"data.shape=[1, 6, 8]"}), "found model.patch 4 with images of 6x8"));
  BOOST_TEST(problem("", {"data.shape=[1, 6, 8]"}) == "");
  // The task asks for a key that this architecture does not have.
  BOOST_TEST(problem(kForest, {"eval.guidance=2"}) == "");
}

BOOST_AUTO_TEST_CASE(what_is_written_reads_back_and_shows_whose_the_keys_are) {
  const Config c = load(kForest, {"model.depth=0.125"});
  for (const YamlComments comments : {YamlComments::none, YamlComments::every_key}) {
    BOOST_TEST((load_config_text(to_yaml(c, comments), "t.yaml", {}) == c));
  }
  BOOST_TEST(!contains(to_yaml(c), "label_dropout"));
  const std::string shown = to_yaml(c, YamlComments::every_key);
  BOOST_TEST(contains(shown,
                      "  # How deep in the forest, as a share. Accepted: a number from 0 to 1. With architecture "
                      "forest.\n  depth: 0.125\n"));
  std::string in_a_row = shown;
  for (std::size_t at; (at = in_a_row.find("\n  # ")) != std::string::npos;) in_a_row.replace(at, 5, " ");
  BOOST_TEST(contains(in_a_row, "With architecture dit, forest. Default: 2 with dit, 4 with forest.\n  patch: 4 "));
}

BOOST_AUTO_TEST_CASE(the_reference_shows_whose_the_keys_and_defaults_are) {
  const std::string page = config_reference_markdown();
  BOOST_TEST(contains(page, "\n| `forest` | trees | `gaussian`: "));
  BOOST_TEST(contains(page, "\n| `model.width` | all | `384` | "));
  BOOST_TEST(contains(page, "\n| `model.depth` | forest | `0.5` | a number from 0 to 1 | How deep in the forest"));
  BOOST_TEST(contains(page, "\n| `model.label_dropout` | dit | `0.1` | "));
  BOOST_TEST(contains(page, "\n| `model.patch` | dit, forest | `2` with dit, `4` with forest | "));
  BOOST_TEST(contains(page, "\n| `noise.overlap` | dit, forest | `0.05` with dit, `0` with forest | "));
  BOOST_TEST(contains(page, "\n| `data.batch` | all | `128` with dit, `32` with forest | "));
}

BOOST_AUTO_TEST_CASE(another_architecture_is_another_experiment_and_its_keys_go_without_saying) {
  // With a second architecture in the list the first one's experiments stay what they are (test_identity.cpp).
  BOOST_TEST(experiment_identity(load("")) == "23d0b1c75c62b38fadaf55899e1f645fe67760d2922c74402c9fd1978c0368d9");
  const Experiment run = experiment_of(load("")), now = experiment_of(load(kForest));
  BOOST_TEST(run.identity != now.identity);
  std::string named;
  for (const KeyDifference& d : differing_keys(run, now)) named += d.name + " ";
  BOOST_TEST(named == "data.batch model.architecture model.patch noise.sampling noise.overlap ");
  BOOST_TEST(differing_keys(now, experiment_of(load(kForest, {"model.depth=0.75"}))).size() == 1u);
}

BOOST_AUTO_TEST_SUITE_END()
