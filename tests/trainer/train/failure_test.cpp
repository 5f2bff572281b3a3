// A block whose numbers are no longer finite stops before the update; the others run on, and the run says so.

#include <atomic>
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <limits>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/error.hpp"
#include "support.hpp"
#include "trainer/ledger/totals.hpp"
#include "uneven_run.hpp"

namespace blocktrain::trainer {
namespace {

using testing::TemporaryFolder;
using testing::train_small;

BOOST_AUTO_TEST_CASE(a_block_that_is_not_finite_stops_alone) {
  for (const int ranks : {1, 4, 6}) {
    BOOST_TEST_CONTEXT(ranks << " ranks") {
      const TemporaryFolder folder;
      const auto damage = [](OwnedBlock& block, std::int64_t step) {
        if (block.block == 1 && step == 7)
          block.state.parameters.as<float>()[40] = std::numeric_limits<float>::quiet_NaN();
      };
      BOOST_TEST(train_small(folder.path("run"), ranks, {}, false, damage) == 1);
      const LedgerTotals totals = read_totals(folder.path("run") + "/ledger.jsonl");
      BOOST_TEST(totals.blocks.at(0).steps == 12);
      BOOST_TEST(totals.blocks.at(1).steps == 8);
      BOOST_TEST(totals.blocks.at(2).steps == 12);
      BOOST_TEST(totals.status == "failed");
      int failed = 0;
      for (const std::string& line : testing::lines(folder.path("run") + "/ledger.jsonl")) {
        const auto row = nlohmann::json::parse(line);
        if (row.at("type") != "failed") continue;
        ++failed;
        BOOST_TEST(row.at("block") == 1);
        BOOST_TEST(row.at("step") == 8);
      }
      BOOST_TEST(failed == 1);
      // What was committed before stands, and the run goes on from there.
      BOOST_TEST(train_small(folder.path("run"), ranks, {}, true) == 0);
      const LedgerTotals after = read_totals(folder.path("run") + "/ledger.jsonl");
      BOOST_TEST(after.kept_cost().steps == 48);
      BOOST_TEST(after.lost.at(1).steps == 3);  // 5, 6 and 7, behind the checkpoint at 5
    }
  }
}

/// The `failed` rows of a run, as {block, step}.
std::vector<std::pair<int, int>> failed_rows(const std::string& run, const std::string& words) {
  std::vector<std::pair<int, int>> found;
  for (const std::string& line : testing::lines(run + "/ledger.jsonl")) {
    const auto row = nlohmann::json::parse(line);
    if (row.at("type") != "failed") continue;
    found.emplace_back(row.at("block").get<int>(), row.at("step").get<int>());
    BOOST_TEST(row.at("reason").get<std::string>().find(words) != std::string::npos, line);
    BOOST_TEST(row.at("reason").get<std::string>().find("optimizer.learning_rate") != std::string::npos, line);
  }
  return found;
}

BOOST_AUTO_TEST_CASE(a_block_that_cannot_be_saved_stops_alone) {
  // No gradient depends on the average, so that only a checkpoint meets the number: behind step 7 the one at 10, behind
  // step 10 the one at the end.
  for (const int damaged_in : {7, 10}) {
    for (const int ranks : {1, 4, 6}) {
      BOOST_TEST_CONTEXT(ranks << " ranks, step " << damaged_in) {
        const TemporaryFolder folder;
        const auto damage = [&](OwnedBlock& block, std::int64_t step) {
          if (block.block == 1 && step == damaged_in)
            block.state.average.as<float>()[40] = std::numeric_limits<float>::infinity();
        };
        const std::string run = folder.path("run");
        BOOST_TEST(train_small(run, ranks, {}, false, damage) == 1);
        const int reached = damaged_in == 7 ? 10 : 12;
        const LedgerTotals totals = read_totals(run + "/ledger.jsonl");
        for (const int other : {0, 2, 3}) BOOST_TEST(totals.blocks.at(other).steps == 12);
        BOOST_TEST(totals.blocks.at(1).steps == reached);
        BOOST_TEST(totals.status == "failed");
        const auto rows = failed_rows(run, "/average/");
        BOOST_REQUIRE(rows.size() == 1u);
        BOOST_TEST(rows[0].first == 1);
        BOOST_TEST(rows[0].second == reached);
        // The checkpoint before it stands, and the run goes on from there.
        BOOST_TEST(train_small(run, ranks, {}, true) == 0);
        const LedgerTotals after = read_totals(run + "/ledger.jsonl");
        BOOST_TEST(after.kept_cost().steps == 48);
        BOOST_TEST(after.lost.at(1).steps == (damaged_in == 7 ? 5 : 2));
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(a_replica_that_writes_is_waited_for_longer_than_one_that_is_lost) {
  const TemporaryFolder folder;
  std::atomic<bool> slept{false};
  // Behind a checkpoint, which is written by one replica alone, and as long as that may take on a slow disk.
  const auto sleep_once = [&](OwnedBlock&, std::int64_t step) {
    if (step == 4 && !slept.exchange(true)) std::this_thread::sleep_for(std::chrono::milliseconds(4500));
  };
  const std::vector<std::string> options{"blocks.count=1", "parallel.timeout_seconds=3"};
  BOOST_TEST(train_small(folder.path("run"), 2, options, false, sleep_once) == 0);
  BOOST_TEST(slept);
  // In any other step it is lost.
  const auto sleep_elsewhere = [&](OwnedBlock&, std::int64_t step) {
    if (step == 6 && slept.exchange(false)) std::this_thread::sleep_for(std::chrono::milliseconds(4500));
  };
  BOOST_CHECK_NE(train_small(folder.path("lost"), 2, options, false, sleep_elsewhere), 0);
}

BOOST_AUTO_TEST_CASE(a_block_may_fail_on_the_rank_that_took_it_over) {
  const TemporaryFolder folder;
  testing::UnevenRun uneven(12);
  int moved = -1;
  const auto damage = [&](OwnedBlock& block, std::int64_t step) {
    if (!uneven(block, step)) return;
    moved = block.block;
    block.state.parameters.as<float>()[40] = std::numeric_limits<float>::quiet_NaN();
  };
  BOOST_TEST(train_small(folder.path("run"), 3, {"parallel.steps_per_visit=1"}, false, damage) == 1);
  BOOST_REQUIRE(moved >= 0);
  const LedgerTotals totals = read_totals(folder.path("run") + "/ledger.jsonl");
  for (int b = 0; b < 4; ++b) BOOST_TEST((totals.blocks.at(b).steps == 12) == (b != moved));
  BOOST_TEST(totals.status == "failed");
  BOOST_TEST(train_small(folder.path("run"), 3, {}, true) == 0);
  BOOST_TEST(read_totals(folder.path("run") + "/ledger.jsonl").kept_cost().steps == 48);
}

BOOST_AUTO_TEST_CASE(a_rank_that_fails_while_others_wait_for_its_block_ends_the_run) {
  const TemporaryFolder folder;
  testing::UnevenRun uneven(12);
  const auto fail = [&](OwnedBlock& block, std::int64_t step) {
    uneven(block, step);
    if (block.block < 2) throw RunError("as a test wants it");  // the others are done by now, and ask for this one
  };
  // Whoever waited for a deadline would wait for longer than this test may take.
  BOOST_TEST(train_small(folder.path("run"), 3, {"parallel.timeout_seconds=10000"}, false, fail) == 1);
  const LedgerTotals totals = read_totals(folder.path("run") + "/ledger.jsonl");
  BOOST_TEST(totals.status == "failed");
  BOOST_TEST(totals.blocks.at(2).steps == 12);
  BOOST_TEST(totals.blocks.at(3).steps == 12);
}

BOOST_AUTO_TEST_CASE(a_spent_budget_saves_and_ends_well) {
  const TemporaryFolder folder;
  BOOST_TEST(
      train_small(folder.path("run"), 2, {"budget.steps=100000", "budget.seconds=2", "optimizer.decay_steps=0"}) == 0);
  const LedgerTotals totals = read_totals(folder.path("run") + "/ledger.jsonl");
  BOOST_TEST(totals.status == "budget_spent");
  BOOST_TEST(totals.kept_cost().steps > 0);
  BOOST_TEST(totals.kept_cost().steps < 400000);
}

}  // namespace
}  // namespace blocktrain::trainer
