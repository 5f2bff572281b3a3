// The same small trainings on a GPU, where there is one: skipped visibly elsewhere.

#include <algorithm>
#include <atomic>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "support.hpp"
#include "tests/support/needs_gpu.hpp"
#include "trainer/support/stop_signal.hpp"
#include "uneven_run.hpp"

namespace blocktrain::trainer {
namespace {

using testing::final_digests;
using testing::NeedsGpu;
using testing::TemporaryFolder;

int train_small(const std::string& run, int ranks, std::vector<std::string> overrides, bool resume = false,
                const AfterStep& after_step = {}) {
#ifdef TEST_EMULATED_GPU
  overrides.emplace_back("model.patch=4");  // four tokens: its attention is slow
#endif
  return testing::train_small(run, ranks, std::move(overrides), resume, after_step);
}

/// Losses of the step rows, by block and step.
std::map<std::pair<int, int>, double> losses(const std::string& run) {
  std::map<std::pair<int, int>, double> found;
  for (const std::string& line : testing::lines(run + "/ledger.jsonl")) {
    const auto row = nlohmann::json::parse(line);
    if (row.at("type") != "step") continue;
    found[{row.at("block").get<int>(), row.at("step").get<int>()}] = row.at("loss").get<double>();
  }
  return found;
}

double largest_difference(const std::string& one, const std::string& other) {
  const auto a = losses(one), b = losses(other);
  BOOST_REQUIRE_EQUAL(a.size(), 48u);
  BOOST_REQUIRE_EQUAL(b.size(), 48u);
  double worst = 0;
  for (const auto& [key, loss] : a) worst = std::max(worst, std::abs(b.at(key) / loss - 1));
  return worst;
}

const std::string cpu = "parallel.device=cpu", gpu = "parallel.device=cuda";

BOOST_AUTO_TEST_SUITE(training_on_a_gpu, *boost::unit_test::fixture<NeedsGpu>())

BOOST_AUTO_TEST_CASE(losses_agree_with_the_cpu) {
  const TemporaryFolder folder;
  BOOST_REQUIRE_EQUAL(train_small(folder.path("cpu"), 1, {cpu}), 0);
  BOOST_REQUIRE_EQUAL(train_small(folder.path("gpu"), 1, {gpu}), 0);
  BOOST_TEST(largest_difference(folder.path("cpu"), folder.path("gpu")) < 1e-4);
  BOOST_REQUIRE_EQUAL(train_small(folder.path("half"), 1, {gpu, "model.precision=bfloat16"}), 0);
  const double half = largest_difference(folder.path("cpu"), folder.path("half"));
  BOOST_TEST(half < 0.03);
  BOOST_TEST(half > 1e-7);  // it did compute in bfloat16
}

BOOST_AUTO_TEST_CASE(bits_depend_on_nothing_but_the_experiment) {
  const TemporaryFolder folder;
  for (const std::string precision : {"model.precision=float32", "model.precision=bfloat16"}) {
    const std::string first = folder.path("first-" + precision), again = folder.path("again-" + precision);
    BOOST_REQUIRE_EQUAL(train_small(first, 1, {gpu, precision}), 0);
    BOOST_REQUIRE_EQUAL(train_small(again, 4, {gpu, precision}), 0);
    BOOST_TEST(final_digests(first) == final_digests(again), boost::test_tools::per_element());
    const std::string stopped = folder.path("stopped-" + precision);
    const auto stop = [](OwnedBlock& block, std::int64_t step) {
      if (block.block == 0 && step == 6) request_stop();
    };
    BOOST_REQUIRE_EQUAL(train_small(stopped, 2, {gpu, precision}, false, stop), 75);
    BOOST_REQUIRE_EQUAL(train_small(stopped, 1, {gpu, precision}, true), 0);
    BOOST_TEST(final_digests(first) == final_digests(stopped), boost::test_tools::per_element());
    for (const std::string training : {"blocks.training=block_local", "blocks.training=end_to_end"}) {
      const std::string kept = folder.path("kept-" + precision + training),
                        lean = folder.path("lean-" + precision + training);
      BOOST_REQUIRE_EQUAL(train_small(kept, 1, {gpu, precision, training}), 0);
      BOOST_REQUIRE_EQUAL(train_small(lean, 1, {gpu, precision, training, "parallel.activation_checkpointing=layer"}),
                          0);
      BOOST_TEST(final_digests(kept) == final_digests(lean), boost::test_tools::per_element());
    }
  }
}

BOOST_AUTO_TEST_CASE(a_run_moves_between_gpu_and_cpu) {
  const TemporaryFolder folder;
  BOOST_REQUIRE_EQUAL(train_small(folder.path("whole"), 1, {cpu}), 0);
  const auto stop = [](OwnedBlock& block, std::int64_t step) {
    if (block.block == 0 && step == 6) request_stop();
  };
  for (const auto& [before, after] : {std::pair(cpu, gpu), std::pair(gpu, cpu)}) {
    const std::string run = folder.path("from-" + before.substr(16));
    BOOST_REQUIRE_EQUAL(train_small(run, 1, {before}, false, stop), 75);
    BOOST_REQUIRE_EQUAL(train_small(run, 1, {after}, true), 0);
    BOOST_TEST(largest_difference(folder.path("whole"), run) < 1e-4);
  }
}

BOOST_AUTO_TEST_CASE(a_block_that_another_rank_takes_over_keeps_every_bit) {
  const TemporaryFolder folder;
  // Weights in two types: the one that is computed in is made anew where the block arrives.
  const std::string alone = folder.path("alone"), moved = folder.path("moved"), half = "model.precision=bfloat16";
  BOOST_REQUIRE_EQUAL(train_small(alone, 1, {gpu, half}), 0);
  testing::UnevenRun uneven(12);
  BOOST_REQUIRE_EQUAL(
      train_small(moved, 3, {gpu, half, "parallel.steps_per_visit=1"}, false, AfterStep(std::ref(uneven))), 0);
  BOOST_TEST(uneven.moved());
  BOOST_TEST(final_digests(moved) == final_digests(alone), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(replicas_on_one_gpu_agree_with_one_rank_and_stop_together) {
  const TemporaryFolder folder;
  const std::string alone = folder.path("alone"), shared = folder.path("shared"), stopped = folder.path("stopped");
  BOOST_REQUIRE_EQUAL(train_small(alone, 4, {gpu}), 0);
  BOOST_REQUIRE_EQUAL(train_small(shared, 5, {gpu}), 0);  // block 0 has two
  BOOST_TEST(largest_difference(alone, shared) < 1e-4);
  // One of them asks; both have asked for the same steps by the time they know.
  std::atomic<bool> asked{false};
  const auto stop = [&](OwnedBlock& block, std::int64_t step) {
    if (block.block == 0 && step == 6 && !asked.exchange(true)) request_stop();
  };
  BOOST_REQUIRE_EQUAL(train_small(stopped, 5, {gpu}, false, stop), 75);
  BOOST_REQUIRE_EQUAL(train_small(stopped, 5, {gpu}, true), 0);
  BOOST_TEST(final_digests(stopped) == final_digests(shared), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(classes_are_learnt_as_on_the_cpu) {
  const TemporaryFolder folder;
  for (const std::string variant :
       {"objective.evidence=analytic", "objective.evidence=learned", "blocks.training=end_to_end"}) {
    // Dropout's masks are the same everywhere.
    const std::vector<std::string> vit{"model.architecture=vit", "model.patch=4", "model.dropout=0.1", variant};
    const auto trained = [&](const std::string& name, const std::vector<std::string>& more) {
      std::vector<std::string> overrides = vit;
      overrides.insert(overrides.end(), more.begin(), more.end());
      BOOST_REQUIRE_EQUAL(train_small(folder.path(name + variant), 1, overrides), 0);
      return losses(folder.path(name + variant));
    };
    const auto on_cpu = trained("cpu", {cpu}), on_gpu = trained("gpu", {gpu});
    const auto half = trained("half", {gpu, "model.precision=bfloat16"});
    double worst = 0, worst_half = 0;
    for (const auto& [key, loss] : on_cpu) {
      worst = std::max(worst, std::abs(on_gpu.at(key) - loss));
      worst_half = std::max(worst_half, std::abs(half.at(key) - loss));
    }
    // In nats, of losses between 0 and 3.
    BOOST_TEST(worst < 1e-4, variant);
    BOOST_TEST(worst_half < 0.1, variant);
    BOOST_TEST(worst_half > 1e-6, variant);
    trained("again", {gpu});
    BOOST_TEST(final_digests(folder.path("again" + variant)) == final_digests(folder.path("gpu" + variant)),
               boost::test_tools::per_element());
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace blocktrain::trainer
