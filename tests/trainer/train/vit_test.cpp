// Whole trainings of vit: the same bits wherever its blocks are trained, a partition that is computed once, memory as
// it was planned, and the end-to-end twin.

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "support.hpp"
#include "trainer/checkpoint/manifest.hpp"
#include "trainer/config/experiment.hpp"
#include "trainer/plan/network.hpp"
#include "trainer/run_folder/run_folder.hpp"
#include "trainer/support/stop_signal.hpp"

namespace blocktrain::trainer {
namespace {

using testing::final_digests;
using testing::TemporaryFolder;

int train_vit(const std::string& run, int ranks, std::vector<std::string> overrides = {}, bool resume = false,
              const AfterStep& after_step = {}) {
  overrides.insert(overrides.begin(), "model.architecture=vit");
  return testing::train_small(run, ranks, std::move(overrides), resume, after_step);
}

std::vector<double> information_of(const std::string& run, int blocks) {
  const Experiment experiment = experiment_of(load_run_folder_config(run, {}));
  return load_manifest(run, experiment, blocks)->manifest.information;
}

const std::vector<std::vector<std::string>> variants = {
    {}, {"objective.evidence=learned"}, {"noise.partition=uniform_log", "model.dropout=0"}, {"data.flip=true"}};

BOOST_AUTO_TEST_CASE(ranks_and_threads_leave_every_bit_as_it_is) {
  for (const auto& overrides : variants) {
    const TemporaryFolder folder;
    BOOST_REQUIRE_EQUAL(train_vit(folder.path("one"), 1, overrides), 0);
    const auto one = final_digests(folder.path("one"));
    BOOST_REQUIRE_EQUAL(one.size(), 4u);
    BOOST_REQUIRE_EQUAL(train_vit(folder.path("three"), 3, overrides), 0);
    BOOST_TEST(final_digests(folder.path("three")) == one, boost::test_tools::per_element());
    std::vector<std::string> threads = overrides;
    threads.emplace_back("parallel.threads=3");
    threads.emplace_back("parallel.steps_per_visit=1");
    BOOST_REQUIRE_EQUAL(train_vit(folder.path("threads"), 1, threads), 0);
    BOOST_TEST(final_digests(folder.path("threads")) == one, boost::test_tools::per_element());
  }
}

BOOST_AUTO_TEST_CASE(a_stopped_run_goes_on_with_the_partition_it_was_started_with) {
  const TemporaryFolder folder;
  const std::string whole = folder.path("whole"), stopped = folder.path("stopped");
  BOOST_REQUIRE_EQUAL(train_vit(whole, 2), 0);
  const auto stop = [](OwnedBlock& block, std::int64_t step) {
    if (block.block == 0 && step == 6) request_stop();
  };
  BOOST_REQUIRE_EQUAL(train_vit(stopped, 1, {}, false, stop), 75);
  const std::vector<double> information = information_of(stopped, 4);
  BOOST_TEST(information.size() > 100);
  BOOST_TEST(information == information_of(whole, 4), boost::test_tools::per_element());
  BOOST_REQUIRE_EQUAL(train_vit(stopped, 2, {}, true), 0);
  BOOST_TEST(final_digests(stopped) == final_digests(whole), boost::test_tools::per_element());

  // Another curve in its manifest is the run's own: it is not computed again.
  const std::string odd = folder.path("odd");
  BOOST_REQUIRE_EQUAL(train_vit(odd, 1, {}, false, stop), 75);
  const Experiment experiment = experiment_of(load_run_folder_config(odd, {}));
  Manifest manifest = load_manifest(odd, experiment, 4)->manifest;
  for (double& nats : manifest.information) nats = nats * nats;
  std::ofstream(checkpoints_folder(odd) / manifest_name) << to_text(manifest);
  BOOST_REQUIRE_EQUAL(train_vit(odd, 1, {}, true), 0);
  BOOST_TEST(information_of(odd, 4) == manifest.information, boost::test_tools::per_element());
  const auto digests = final_digests(odd), others = final_digests(whole);
  for (std::size_t b = 0; b < 4; ++b) BOOST_TEST(digests[b] != others[b]);
}

BOOST_AUTO_TEST_CASE(a_run_whose_partition_follows_from_its_keys_keeps_no_curve) {
  const TemporaryFolder folder;
  const std::string run = folder.path("run");
  BOOST_REQUIRE_EQUAL(train_vit(run, 1, {"noise.partition=equal_probability"}), 0);
  BOOST_TEST(information_of(run, 4).empty());
}

BOOST_AUTO_TEST_CASE(memory_is_what_was_planned) {
  const TemporaryFolder folder;
  int number = 0;
  for (const std::string training : {"blocks.training=block_local", "blocks.training=end_to_end"}) {
    for (const std::string checkpointing : {"none", "layer"}) {
      for (const int ranks : {1, 2}) {
        const std::string run = folder.path(std::to_string(number++));
        BOOST_REQUIRE_EQUAL(
            train_vit(run, ranks,
                      {training, "parallel.activation_checkpointing=" + checkpointing, "eval.every_steps=4"}),
            0);
        for (const auto& row : testing::step_rows(run)) {
          BOOST_TEST(row.at("memory").at("measured") == row.at("memory").at("planned"));
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(the_twin_is_one_network_without_noise) {
  const TemporaryFolder folder;
  const std::string one = folder.path("one"), stopped = folder.path("stopped");
  const std::string twin = "blocks.training=end_to_end";
  BOOST_REQUIRE_EQUAL(train_vit(one, 1, {twin, "eval.every_steps=4"}), 0);
  BOOST_REQUIRE_EQUAL(final_digests(one).size(), 1u);
  BOOST_TEST(information_of(one, 1).empty());
  for (const auto& row : testing::step_rows(one)) BOOST_TEST(row.at("sigma").is_null());
  const auto stop = [](OwnedBlock&, std::int64_t step) {
    if (step == 6) request_stop();
  };
  BOOST_REQUIRE_EQUAL(train_vit(stopped, 1, {twin, "eval.every_steps=4"}, false, stop), 75);
  BOOST_REQUIRE_EQUAL(train_vit(stopped, 1, {twin, "eval.every_steps=4"}, true), 0);
  BOOST_TEST(final_digests(stopped) == final_digests(one), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(classes_are_no_images_to_another_architecture) {
  const TemporaryFolder folder;
  const auto refused = [&](std::vector<std::string> overrides, const std::string& words) {
    BOOST_CHECK_EXCEPTION(testing::train_small(folder.path("none"), 1, std::move(overrides)), InputError,
                          [&](const InputError& e) { return std::string(e.what()).find(words) != std::string::npos; });
  };
  refused({"noise.partition=equal_information"}, "accepted: equal_probability, uniform or uniform_log");
  refused({"model.architecture=vit", "model.label_dropout=0.1"}, "model.label_dropout");
  refused({"model.architecture=vit", "noise.sigma_min=0.001", "noise.sigma_max=0.01"},
          "noise.partition equal_information cannot cut");
}

}  // namespace
}  // namespace blocktrain::trainer
