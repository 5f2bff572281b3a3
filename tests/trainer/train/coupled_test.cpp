// Blocks that share the table of target embeddings, trained: what is shared has the same bits on any number of ranks,
// and behind an interruption; it costs what the plan says; one block that cannot go on ends all of them.

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "kernels/error.hpp"
#include "support.hpp"
#include "trainer/checkpoint/block_file.hpp"
#include "trainer/ledger/totals.hpp"
#include "trainer/plan/network.hpp"
#include "trainer/plan/plan.hpp"
#include "trainer/support/stop_signal.hpp"
#include "trainer/tasks/images/image_layout.hpp"

namespace blocktrain::trainer {
namespace {

using testing::final_digests;
using testing::TemporaryFolder;
using testing::train_small;
using Overrides = std::vector<std::string>;

const std::string synchronized = "objective.target_embedding=synchronized";
const Overrides periodic{"objective.target_embedding=periodic", "objective.average_every_steps=4"};

Overrides both(Overrides a, const Overrides& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Overrides vit(const Overrides& more) { return both({"model.architecture=vit"}, more); }

int train_vit(const std::string& run, int ranks, const Overrides& overrides, bool resume = false,
              const AfterStep& after_step = {}) {
  return train_small(run, ranks, vit(overrides), resume, after_step);
}

std::vector<std::string> digests_of(const TemporaryFolder& folder, const std::string& name, int ranks,
                                    const Overrides& overrides) {
  BOOST_REQUIRE_EQUAL(train_vit(folder.path(name), ranks, overrides), 0);
  return final_digests(folder.path(name));
}

/// What `run` was planned to be on `ranks` ranks.
Plan plan_of(const std::string& run, int ranks) {
  Config config = load_run_folder_config(run, {});
  const blocks::SampleLayout layout = image_layout({1, 8, 8}, 10);
  config.noise.information = class_information(config, layout, {});
  return make_plan(config, layout, ranks);
}

/// The table that block `block` of a run has after `step` steps.
std::vector<float> table_of(const std::string& run, int block, std::int64_t step = 12) {
  const Config config = load_run_folder_config(run, {});
  const auto network =
      make_block(config, image_layout({1, 8, 8}, 10), block_places(config)[static_cast<std::size_t>(block)]);
  const std::string path = run + "/checkpoints/" + block_file_name(block, step);
  std::vector<float> weights(static_cast<std::size_t>(network->parameter_elements()));
  BlockTensors<float> tensors;
  tensors.parameters = weights;
  read_block_file(path, read_block_header(path), network->parameters(), tensors);
  BOOST_REQUIRE_EQUAL(network->shared().size(), 1u);
  const kernels::ElementRange range = network->shared().front();
  return {weights.begin() + range.begin, weights.begin() + range.end};
}

/// Steps of each block in the ledger of a run.
std::vector<std::int64_t> steps_of(const std::string& run) {
  std::vector<std::int64_t> steps;
  for (const StepCost& b : read_totals(run + "/ledger.jsonl").blocks) steps.push_back(b.steps);
  return steps;
}

std::vector<nlohmann::json> rows_of_type(const std::string& run, const std::string& type) {
  std::vector<nlohmann::json> rows;
  for (const std::string& line : testing::lines(run + "/ledger.jsonl")) {
    nlohmann::json row = nlohmann::json::parse(line);
    if (row.at("type") == type) rows.push_back(std::move(row));
  }
  return rows;
}

BOOST_AUTO_TEST_CASE(ranks_and_threads_leave_every_bit_as_it_is) {
  for (const Overrides& mode : {Overrides{synchronized}, periodic, Overrides{}}) {
    const TemporaryFolder folder;
    const auto one = digests_of(folder, "one", 1, mode);
    BOOST_REQUIRE_EQUAL(one.size(), 4u);
    for (const int ranks : {2, 3, 4}) {
      BOOST_TEST_CONTEXT(ranks << " ranks, " << (mode.empty() ? "frozen" : mode.front())) {
        BOOST_TEST(digests_of(folder, std::to_string(ranks), ranks, mode) == one, boost::test_tools::per_element());
      }
    }
    BOOST_TEST(digests_of(folder, "threads", 1, both(mode, {"parallel.threads=3"})) == one,
               boost::test_tools::per_element());
    BOOST_TEST(digests_of(folder, "turns", 2, both(mode, {"parallel.steps_per_visit=1"})) == one,
               boost::test_tools::per_element());
  }
}

BOOST_AUTO_TEST_CASE(the_table_is_trained_and_alike_where_blocks_have_met) {
  const TemporaryFolder folder;
  digests_of(folder, "frozen", 2, {"blocks.seeds=[1,2,3,4]"});
  const std::vector<float> start = table_of(folder.path("frozen"), 0);
  BOOST_TEST((table_of(folder.path("frozen"), 3) == start));  // of the run's seed, not a block's
  const auto check = [&](const std::string& name, const Overrides& mode, bool alike) {
    digests_of(folder, name, 2, mode);
    for (int b = 0; b < 4; ++b) {
      const std::vector<float> table = table_of(folder.path(name), b);
      BOOST_TEST((table != start), name << ", block " << b);
      BOOST_TEST(((table == table_of(folder.path(name), 0)) == (alike || b == 0)), name << ", block " << b);
    }
  };
  check("synchronized", {synchronized}, true);
  check("met", periodic, true);  // after 12 steps
  check("apart", {periodic.front(), "objective.average_every_steps=5"}, false);
  // A step of a block is that of all: without the others' gradients it would be another one.
  digests_of(folder, "often", 2, {periodic.front(), "objective.average_every_steps=1"});
  BOOST_TEST((table_of(folder.path("often"), 0) != table_of(folder.path("synchronized"), 0)));
}

BOOST_AUTO_TEST_CASE(the_average_is_that_of_the_blocks) {
  const TemporaryFolder folder;
  // Of the same first four steps, one run has not met behind them.
  const Overrides four{"budget.steps=4", "optimizer.decay_steps=12"};
  digests_of(folder, "apart", 2, both({periodic.front(), "objective.average_every_steps=5"}, four));
  digests_of(folder, "met", 2, both(periodic, four));
  std::vector<std::vector<float>> tables;
  for (int b = 0; b < 4; ++b) tables.push_back(table_of(folder.path("apart"), b, 4));
  const std::vector<float> met = table_of(folder.path("met"), 1, 4);
  for (std::size_t i = 0; i < met.size(); ++i) {
    float sum = 0;
    for (const auto& table : tables) sum += table[i];
    BOOST_REQUIRE_EQUAL(met[i], sum / 4);
  }
}

BOOST_AUTO_TEST_CASE(replicas_share_what_their_blocks_share) {
  for (const Overrides& mode : {Overrides{synchronized}, periodic}) {
    const TemporaryFolder folder;
    const auto six = digests_of(folder, "six", 6, mode), again = digests_of(folder, "again", 6, mode);
    BOOST_TEST(six == again, boost::test_tools::per_element());
    digests_of(folder, "four", 4, mode);
    const std::vector<float> table = table_of(folder.path("six"), 0), other = table_of(folder.path("four"), 0);
    for (int b = 1; b < 4; ++b) BOOST_TEST((table_of(folder.path("six"), b) == table));
    // Steps of Adam, each of at most the learning rate: sums of another order move few of them.
    for (std::size_t i = 0; i < table.size(); ++i) BOOST_REQUIRE(std::abs(table[i] - other[i]) < 1e-4f);
  }
}

/// Asks for the end behind step `at` of block 0, and lets the run be slow from then on, for the request takes a moment.
AfterStep stop_behind(std::int64_t at) {
  return [at](OwnedBlock& block, std::int64_t step) {
    if (block.block != 0 || step < at) return;
    request_stop();
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
  };
}

BOOST_AUTO_TEST_CASE(a_run_that_was_stopped_goes_on_to_the_same_bits) {
  const Overrides longer{"budget.steps=200", "optimizer.decay_steps=200", "checkpoint.every_steps=50"};
  for (const Overrides& mode : {Overrides{synchronized}, periodic}) {
    const TemporaryFolder folder;
    const auto whole = digests_of(folder, "whole", 2, both(longer, mode));
    for (const int ranks : {1, 3, 4, 6}) {
      BOOST_TEST_CONTEXT(ranks << " ranks, " << mode.front()) {
        const std::string run = folder.path("stopped-" + std::to_string(ranks));
        BOOST_REQUIRE_EQUAL(train_vit(run, ranks, both(longer, mode), false, stop_behind(6)), 75);
        // All at one step, behind a meeting.
        const auto steps = steps_of(run);
        BOOST_TEST(std::set<std::int64_t>(steps.begin(), steps.end()).size() == 1u);
        BOOST_TEST(steps[0] < 200);
        if (mode == periodic) BOOST_TEST(steps[0] % 4 == 0);
        BOOST_REQUIRE_EQUAL(train_vit(run, ranks == 3 ? 4 : ranks == 4 ? 3 : ranks, both(longer, mode), true), 0);
        if (ranks <= 4) BOOST_TEST(final_digests(run) == whole, boost::test_tools::per_element());
        BOOST_TEST(read_totals(run + "/ledger.jsonl").kept_cost().steps == 4 * 200);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(a_damaged_newest_file_takes_all_blocks_back_to_their_common_step) {
  // Of the last, blocks meet where they are saved: what is saved has to be the average.
  const Overrides meets_at_checkpoints{periodic.front(), "objective.average_every_steps=5"};
  for (const Overrides& mode : {Overrides{synchronized}, periodic, meets_at_checkpoints}) {
    const TemporaryFolder folder;
    const std::string run = folder.path("run");
    const auto whole = digests_of(folder, "run", 2, mode);
    {
      const std::string newest = run + "/checkpoints/" + block_file_name(2, 12);
      std::fstream file(newest, std::ios::in | std::ios::out | std::ios::binary);
      file.seekg(5000);
      const char byte = static_cast<char>(file.get() ^ 0x10);
      file.seekp(5000);
      file.put(byte);
    }
    BOOST_REQUIRE_EQUAL(train_vit(run, 3, mode, true), 0);
    BOOST_TEST(final_digests(run) == whole, boost::test_tools::per_element());
    const LedgerTotals totals = read_totals(run + "/ledger.jsonl");
    BOOST_TEST(totals.kept_cost().steps == 48);
    for (std::size_t b = 0; b < 4; ++b) BOOST_TEST(totals.lost.at(b).steps == 2);  // 10 and 11
  }
}

BOOST_AUTO_TEST_CASE(traffic_is_as_planned) {
  for (const Overrides& mode : {Overrides{synchronized}, periodic, Overrides{}}) {
    for (const int ranks : {1, 2, 3, 4, 6}) {
      BOOST_TEST_CONTEXT(ranks << " ranks, " << (mode.empty() ? "frozen" : mode.front())) {
        const TemporaryFolder folder;
        const std::string run = folder.path("run");
        BOOST_REQUIRE_EQUAL(train_vit(run, ranks, mode), 0);
        const Plan plan = plan_of(run, ranks);
        const double meetings = mode.empty() ? 0 : mode == periodic ? 3 : 12;
        double sent = 0, rows = 0;
        for (const nlohmann::json& row : testing::step_rows(run)) {
          sent += row.at("bytes_sent").at("inter_block").get<double>();
          BOOST_TEST(row.at("memory").at("planned") == row.at("memory").at("measured"));
          ++rows;
        }
        BOOST_TEST(rows == 48);
        double planned = 0;
        for (const RankPlan& r : plan.ranks) planned += meetings * r.meeting_bytes;
        BOOST_TEST(sent == planned);
        BOOST_TEST(sent == 12 * plan.inter_block_bytes_per_step);
        BOOST_TEST((sent > 0) == (ranks > 1 && !mode.empty()));
        // 10 rows of 16, and the votes.
        BOOST_TEST(plan.shared_parameters == 160);
        if (ranks == 4 && !mode.empty()) BOOST_TEST(sent == meetings * 2 * 3 * 162 * 4);
        if (ranks == 2 && !mode.empty()) BOOST_TEST(sent == meetings * 4 * 162 * 4);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(a_plan_counts_the_table_once_and_moves_no_block) {
  const TemporaryFolder folder;
  digests_of(folder, "run", 1, {synchronized});
  digests_of(folder, "frozen", 1, {});
  const Plan plan = plan_of(folder.path("run"), 2), frozen = plan_of(folder.path("frozen"), 2);
  std::int64_t parameters = 0;
  for (const BlockPlan& b : plan.blocks) parameters += b.parameters;
  BOOST_TEST(plan.parameters() == parameters - 3 * 160);
  BOOST_TEST(frozen.parameters() == plan.parameters());
  BOOST_TEST(frozen.rebalances);
  BOOST_TEST(!plan.rebalances);
  BOOST_TEST(!frozen.coupling.coupled());
  // Gradients of two blocks that wait for each other.
  BOOST_TEST(plan.ranks[0].bytes.gradient > frozen.ranks[0].bytes.gradient * 3 / 2);
}

/// Puts a number that is none into the weights of block 1, behind step `at`.
AfterStep damage_behind(std::int64_t at) {
  return [at](OwnedBlock& block, std::int64_t step) {
    if (block.block == 1 && step == at)
      block.state.parameters.as<float>()[40] = std::numeric_limits<float>::quiet_NaN();
  };
}

void check_failed_alone(const std::string& run, int block, std::int64_t step, const std::string& words) {
  BOOST_TEST(read_totals(run + "/ledger.jsonl").status == "failed");
  const auto failed = rows_of_type(run, "failed");
  BOOST_REQUIRE_EQUAL(failed.size(), 1u);
  BOOST_TEST(failed[0].at("block") == block);
  BOOST_TEST(failed[0].at("step") == step);
  BOOST_TEST(failed[0].at("reason").get<std::string>().find(words) != std::string::npos, failed[0].dump());
}

BOOST_AUTO_TEST_CASE(a_block_that_is_not_finite_ends_all_before_the_update) {
  // Whoever waited for a deadline would wait for longer than this test may take.
  const Overrides options{synchronized, "parallel.timeout_seconds=10000"};
  for (const int ranks : {1, 2, 4, 6}) {
    BOOST_TEST_CONTEXT(ranks << " ranks") {
      const TemporaryFolder folder;
      const std::string run = folder.path("run");
      BOOST_TEST(train_vit(run, ranks, options, false, damage_behind(7)) == 1);
      BOOST_TEST(steps_of(run) == (std::vector<std::int64_t>{8, 8, 8, 8}), boost::test_tools::per_element());
      check_failed_alone(run, 1, 8, "the gradient of step 8 is not finite");
      // Nobody has saved what the update of step 8 would have gone on from.
      BOOST_TEST(train_vit(run, ranks, options, true) == 0);
      const LedgerTotals after = read_totals(run + "/ledger.jsonl");
      BOOST_TEST(after.kept_cost().steps == 48);
      for (std::size_t b = 0; b < 4; ++b) BOOST_TEST(after.lost.at(b).steps == 3);  // 5, 6 and 7
      if (ranks <= 4) BOOST_TEST(final_digests(run) == digests_of(folder, "whole", 1, {synchronized}));
    }
  }
}

BOOST_AUTO_TEST_CASE(a_block_that_is_not_finite_ends_all_at_the_next_average) {
  const Overrides options = both(periodic, {"parallel.timeout_seconds=10000"});
  for (const int ranks : {1, 2, 4, 6}) {
    BOOST_TEST_CONTEXT(ranks << " ranks") {
      const TemporaryFolder folder;
      const std::string run = folder.path("run");
      BOOST_TEST(train_vit(run, ranks, options, false, damage_behind(5)) == 1);
      const auto steps = steps_of(run);
      BOOST_TEST(steps[1] == 6);
      for (const std::size_t other : {0, 2, 3}) {
        // Those of its rank end where they are.
        BOOST_TEST((ranks >= 4 || (ranks == 2 && other >= 2) ? steps[other] == 8 : steps[other] <= 8));
      }
      check_failed_alone(run, 1, 6, "the gradient of step 6 is not finite");
      BOOST_TEST(train_vit(run, ranks, options, true) == 0);
      BOOST_TEST(read_totals(run + "/ledger.jsonl").kept_cost().steps == 48);
      if (ranks <= 4) BOOST_TEST(final_digests(run) == digests_of(folder, "whole", 1, periodic));
    }
  }
}

BOOST_AUTO_TEST_CASE(a_block_that_cannot_be_saved_ends_all_where_they_meet_next) {
  const auto damage = [](OwnedBlock& block, std::int64_t step) {
    if (block.block == 1 && step == 7) block.state.average.as<float>()[40] = std::numeric_limits<float>::infinity();
  };
  for (const Overrides& mode : {Overrides{synchronized}, periodic}) {
    for (const int ranks : {1, 4, 6}) {
      BOOST_TEST_CONTEXT(ranks << " ranks, " << mode.front()) {
        const TemporaryFolder folder;
        const std::string run = folder.path("run");
        const Overrides options = both(mode, {"parallel.timeout_seconds=10000", "checkpoint.keep=1"});
        BOOST_TEST(train_vit(run, ranks, options, false, damage) == 1);
        check_failed_alone(run, 1, 10, "/average/");
        // The others have a file of step 10 by now, and go back with it to step 5.
        BOOST_TEST(train_vit(run, ranks, mode, true) == 0);
        const LedgerTotals after = read_totals(run + "/ledger.jsonl");
        BOOST_TEST(after.kept_cost().steps == 48);
        for (std::size_t b = 0; b < 4; ++b) {
          // Where blocks take turns the last ones had not come so far, or the first ones further.
          BOOST_TEST(after.lost.at(b).steps >= (mode == periodic ? 3 : 5));
          BOOST_TEST(after.lost.at(b).steps <= (mode == periodic ? 7 : 5));
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(a_rank_that_fails_lets_nobody_wait) {
  const auto fail = [](OwnedBlock& block, std::int64_t step) {
    if (block.block == 2 && step == 6) throw RunError("as a test wants it");
  };
  for (const Overrides& mode : {Overrides{synchronized}, periodic}) {
    const TemporaryFolder folder;
    const std::string run = folder.path("run");
    BOOST_TEST(train_vit(run, 3, both(mode, {"parallel.timeout_seconds=10000"}), false, fail) == 1);
    BOOST_TEST(read_totals(run + "/ledger.jsonl").status == "failed");
    for (const std::int64_t steps : steps_of(run)) BOOST_TEST(steps <= 8);
  }
}

BOOST_AUTO_TEST_CASE(a_replica_that_fails_says_so_and_ends_the_run) {
  for (const Overrides& mode : {Overrides{synchronized}, periodic}) {
    std::atomic<bool> thrown{false};
    const auto fail = [&](OwnedBlock& block, std::int64_t step) {
      if (block.block == 0 && step == 6 && !thrown.exchange(true)) throw RunError("as a test wants it");
    };
    const TemporaryFolder folder;
    // Its partner waits for it in a sum, and the others at the meeting, no longer than they have to.
    BOOST_CHECK_NE(train_vit(folder.path("run"), 6, both(mode, {"parallel.timeout_seconds=2"}), false, fail), 0);
    BOOST_TEST(thrown);
  }
}

BOOST_AUTO_TEST_CASE(a_rank_that_is_silent_is_waited_for_no_longer_than_the_deadline) {
  const auto sleep = [](OwnedBlock& block, std::int64_t step) {
    if (block.block == 2 && step == 6) std::this_thread::sleep_for(std::chrono::seconds(6));
  };
  const TemporaryFolder folder;
  BOOST_CHECK_NE(train_vit(folder.path("run"), 4, {synchronized, "parallel.timeout_seconds=2"}, false, sleep), 0);
}

BOOST_AUTO_TEST_CASE(a_spent_budget_ends_all_at_one_step) {
  for (const Overrides& mode : {Overrides{synchronized}, periodic}) {
    const TemporaryFolder folder;
    const std::string run = folder.path("run");
    BOOST_TEST(train_vit(run, 2,
                         both(mode, {"budget.steps=100000", "budget.seconds=1.5", "optimizer.decay_steps=0",
                                     "checkpoint.every_steps=1000"})) == 0);
    BOOST_TEST(read_totals(run + "/ledger.jsonl").status == "budget_spent");
    const auto steps = steps_of(run);
    BOOST_TEST(std::set<std::int64_t>(steps.begin(), steps.end()).size() == 1u);
  }
}

BOOST_AUTO_TEST_CASE(held_out_losses_while_training_change_nothing) {
  for (const Overrides& mode : {Overrides{synchronized}, periodic}) {
    const TemporaryFolder folder;
    const auto without = digests_of(folder, "without", 2, mode);
    const auto with = digests_of(folder, "with", 2, both(mode, {"eval.every_steps=4", "eval.images=17"}));
    BOOST_TEST(with == without, boost::test_tools::per_element());
    BOOST_TEST(rows_of_type(folder.path("with"), "eval").size() == 4u * 3);
  }
}

}  // namespace
}  // namespace blocktrain::trainer
