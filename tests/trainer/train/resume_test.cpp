// A run that was stopped and resumed ends with the same bits, and its ledger counts every step once.

#include <atomic>
#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "kernels/error.hpp"
#include "support.hpp"
#include "trainer/checkpoint/block_file.hpp"
#include "trainer/ledger/totals.hpp"
#include "trainer/support/stop_signal.hpp"

namespace blocktrain::trainer {
namespace {

using testing::final_digests;
using testing::TemporaryFolder;
using testing::train_small;

void check_every_step_counts_once(const std::string& run, int blocks) {
  std::map<std::pair<int, int>, int> seen;
  for (const std::string& line : testing::lines(run + "/ledger.jsonl")) {
    const auto row = nlohmann::json::parse(line);
    if (row.at("type") == "step") ++seen[{row.at("block").get<int>(), row.at("step").get<int>()}];
  }
  BOOST_TEST(seen.size() == static_cast<std::size_t>(blocks) * 12);
  for (const auto& [key, times] : seen) BOOST_TEST(times == 1, "block " << key.first << " step " << key.second);
}

BOOST_AUTO_TEST_CASE(a_stop_saves_and_resume_ends_with_the_same_bits) {
  const TemporaryFolder folder;
  BOOST_REQUIRE_EQUAL(train_small(folder.path("whole"), 2), 0);
  for (const int ranks : {1, 4, 6}) {
    BOOST_TEST_CONTEXT(ranks << " ranks") {
      const std::string run = folder.path("stopped-" + std::to_string(ranks));
      const auto stop = [](OwnedBlock& block, std::int64_t step) {
        if (block.block == 0 && step == 6) request_stop();
      };
      BOOST_REQUIRE_EQUAL(train_small(run, ranks, {}, false, stop), exit_interrupted);
      BOOST_REQUIRE_EQUAL(train_small(run, ranks, {}, true), 0);
      if (ranks <= 4) {
        BOOST_TEST(final_digests(run) == final_digests(folder.path("whole")), boost::test_tools::per_element());
      }
      check_every_step_counts_once(run, 4);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_run_may_go_on_with_other_ranks) {
  const TemporaryFolder folder;
  BOOST_REQUIRE_EQUAL(train_small(folder.path("whole"), 1), 0);
  const std::string run = folder.path("moved");
  const auto stop = [](OwnedBlock& block, std::int64_t step) {
    if (block.block == 1 && step == 3) request_stop();
  };
  BOOST_REQUIRE_EQUAL(train_small(run, 4, {}, false, stop), exit_interrupted);
  BOOST_REQUIRE_EQUAL(train_small(run, 3, {}, true), 0);
  BOOST_TEST(final_digests(run) == final_digests(folder.path("whole")), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_damaged_newest_checkpoint_is_refused_by_name_and_the_one_before_is_used) {
  const TemporaryFolder folder;
  BOOST_REQUIRE_EQUAL(train_small(folder.path("whole"), 1), 0);
  const std::string run = folder.path("damaged");
  BOOST_REQUIRE_EQUAL(train_small(run, 1), 0);
  const std::string newest = run + "/checkpoints/" + block_file_name(2, 12);
  {
    std::fstream file(newest, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(5000);
    const char byte = static_cast<char>(file.get() ^ 0x10);
    file.seekp(5000);
    file.put(byte);
  }
  BOOST_REQUIRE_EQUAL(train_small(run, 1, {}, true), 0);
  BOOST_TEST(final_digests(run) == final_digests(folder.path("whole")), boost::test_tools::per_element());
  check_every_step_counts_once(run, 4);
  const LedgerTotals totals = read_totals(run + "/ledger.jsonl");
  BOOST_TEST(totals.kept_cost().steps == 48);
  BOOST_TEST(totals.lost.at(2).steps == 2);  // steps 10 and 11 were trained twice
}

/// Writes a ledger as a program of version 1.2 would have: step rows that hold all, no change rows.
void make_ledger_older(const std::string& run) {
  std::vector<nlohmann::json> steps = testing::step_rows(run);
  std::string text;
  auto step = steps.begin();
  for (const std::string& line : testing::lines(run + "/ledger.jsonl")) {
    nlohmann::json row = nlohmann::json::parse(line);
    if (row.at("type") == "change") continue;
    if (row.at("type") == "run_start") row["format"] = "blocktrain-ledger/1.2";
    if (row.at("type") == "step") {
      row = *step++;
      row["mse"] = row.at("unweighted");
      row.erase("unweighted");
    }
    text += row.dump() + "\n";
  }
  std::ofstream(run + "/ledger.jsonl") << text;
}

BOOST_AUTO_TEST_CASE(a_run_whose_ledger_an_older_program_began_goes_on) {
  const TemporaryFolder folder;
  const std::string run = folder.path("run");
  const auto damage = [](OwnedBlock& block, std::int64_t step) {
    if (block.block == 1 && step == 7) block.state.parameters.as<float>()[40] = std::numeric_limits<float>::quiet_NaN();
  };
  BOOST_REQUIRE_EQUAL(train_small(run, 4, {}, false, damage), 1);
  make_ledger_older(run);
  const std::int64_t before = read_totals(run + "/ledger.jsonl").kept_cost().steps;
  BOOST_REQUIRE_EQUAL(train_small(run, 4, {}, true), 0);
  check_every_step_counts_once(run, 4);
  const LedgerTotals totals = read_totals(run + "/ledger.jsonl");
  BOOST_TEST(totals.kept_cost().steps == 48);
  BOOST_TEST(totals.kept_cost().tokens == 48 * 24 * 16);
  BOOST_TEST(totals.lost.at(1).steps == 3);  // 5, 6 and 7, behind the checkpoint at 5
  int whole = 0, halves = 0;
  for (const std::string& line : testing::lines(run + "/ledger.jsonl")) {
    const auto row = nlohmann::json::parse(line);
    if (row.at("type") == "step") ++(row.contains("tokens") ? whole : halves);
  }
  BOOST_TEST(whole == before - 3);
  BOOST_TEST(halves == 48 - whole);
}

BOOST_AUTO_TEST_CASE(resume_with_nothing_there_starts_fresh_and_a_second_run_is_refused) {
  const TemporaryFolder folder;
  BOOST_TEST(train_small(folder.path("run"), 1, {}, true) == 0);
  const auto before = final_digests(folder.path("run"));
  BOOST_CHECK_EXCEPTION(train_small(folder.path("run"), 1), InputError, [](const InputError& e) {
    return std::string(e.what()).find("--resume") != std::string::npos;
  });
  BOOST_CHECK_EXCEPTION(train_small(folder.path("run"), 2, {"model.width=32"}, true), InputError,
                        [](const InputError& e) {
                          return std::string(e.what()).find("model.width: 16 in the run, 32 now") != std::string::npos;
                        });
  BOOST_TEST(final_digests(folder.path("run")) == before, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_finished_run_resumes_to_nothing_left_to_do) {
  const TemporaryFolder folder;
  BOOST_REQUIRE_EQUAL(train_small(folder.path("run"), 2), 0);
  const auto before = final_digests(folder.path("run"));
  BOOST_TEST(train_small(folder.path("run"), 2, {}, true) == 0);
  BOOST_TEST(final_digests(folder.path("run")) == before, boost::test_tools::per_element());
  check_every_step_counts_once(folder.path("run"), 4);
}

}  // namespace
}  // namespace blocktrain::trainer
