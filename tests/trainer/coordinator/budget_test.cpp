// Budgets besides budget.steps: that the end by one is said, and that a spent one is spent.
#include <boost/test/unit_test.hpp>

#include "tests/trainer/train/support.hpp"
#include "trainer/coordinator/budget_watch.hpp"
#include "trainer/ledger/totals.hpp"

namespace blocktrain::trainer {
namespace {

using testing::TemporaryFolder;
using testing::train_small;

BudgetConfig budget_of(double tokens, double joules, double dollars, double seconds) {
  BudgetConfig budget;
  budget.tokens = tokens;
  budget.joules = joules;
  budget.dollars = dollars;
  budget.seconds = seconds;
  return budget;
}

BOOST_AUTO_TEST_SUITE(budget)

BOOST_AUTO_TEST_CASE(a_budget_is_spent_when_nothing_of_it_is_left) {
  const BudgetWatch none({}, 0.5);
  BOOST_TEST(none.spent({1e30, 1e30, 1e30}) == "");
  const BudgetWatch watch(budget_of(1000, 0, 0, 60), 0.5);
  BOOST_TEST(watch.spent({999, 1e30, 59.9}) == "");
  BOOST_TEST(watch.spent({1000, 0, 0}) == "budget.tokens is spent (1000 of 1000)");
  BOOST_TEST(watch.spent({0, 0, 61.5}) == "budget.seconds is spent (61.5 of 60)");
  BOOST_TEST(BudgetWatch(budget_of(0, 50, 0, 0), 0).spent({0, 51, 0}) == "budget.joules is spent (51 of 50)");
  const BudgetWatch price(budget_of(0, 0, 2, 0), 0.5);  // 4 kWh
  BOOST_TEST(price.spent({0, 3.9 * 3.6e6, 0}) == "");
  BOOST_TEST(price.spent({0, 4.4 * 3.6e6, 0}) == "budget.dollars is spent (2.2 of 2)");
}

BOOST_AUTO_TEST_CASE(earlier_sessions_and_lost_steps_count) {
  LedgerTotals totals;
  totals.blocks.resize(2);
  totals.lost.resize(2);
  totals.blocks[0].tokens = 300;
  totals.blocks[1].tokens = 200;
  totals.lost[1].tokens = 100;
  totals.measured = {5, 3, 2};
  totals.wall_seconds = 7;
  const auto spent = [&](const BudgetConfig& budget, const Spending& session) {
    BudgetWatch watch(budget, 0);
    watch.count_before(totals);
    return watch.spent(session);
  };
  BOOST_TEST(spent(budget_of(600, 0, 0, 0), {}) == "budget.tokens is spent (600 of 600)");
  BOOST_TEST(spent(budget_of(601, 0, 0, 0), {}) == "");
  BOOST_TEST(spent(budget_of(601, 0, 0, 0), {1, 0, 0}) != "");
  BOOST_TEST(spent(budget_of(0, 11, 0, 0), {0, 0.5, 0}) == "");
  BOOST_TEST(spent(budget_of(0, 11, 0, 0), {0, 1, 0}) != "");
  BOOST_TEST(spent(budget_of(0, 0, 0, 8), {0, 0, 0.5}) == "");
  BOOST_TEST(spent(budget_of(0, 0, 0, 8), {0, 0, 1}) != "");
}

BOOST_AUTO_TEST_CASE(blocks_that_have_nothing_are_named) {
  BOOST_TEST(progress_of_blocks({5, 7}, 9) == "steps by block: 5, 7 of 9");
  BOOST_TEST(progress_of_blocks({5, 0}, 9) == "steps by block: 5, 0 of 9; block 1 has taken no step");
  BOOST_TEST(progress_of_blocks({43, 0, 0, 0}, 400) ==
             "steps by block: 43, 0, 0, 0 of 400; blocks 1, 2 and 3 have taken no step");
}

/// The last row of a ledger.
nlohmann::json last_row(const std::string& run) {
  return nlohmann::json::parse(testing::lines(run + "/ledger.jsonl").back());
}

BOOST_AUTO_TEST_CASE(a_spent_budget_is_said_and_takes_no_further_step) {
  const TemporaryFolder folder;
  const std::string run = folder.path("run");
  // One rank, which stays with its first block to the end: the others get nothing.
  const std::vector<std::string> options{"budget.steps=100000000", "parallel.steps_per_visit=100000000",
                                         "budget.tokens=800", "optimizer.decay_steps=0"};
  BOOST_TEST(train_small(run, 1, options) == 0);
  const nlohmann::json end = last_row(run);
  BOOST_TEST(end.at("status") == "budget_spent");
  const std::string message = end.at("message").get<std::string>();
  BOOST_TEST(message.starts_with("budget.tokens is spent ("), message);
  BOOST_TEST(message.find("blocks 1, 2 and 3 have taken no step") != std::string::npos, message);
  const auto taken = end.at("steps").get<std::vector<std::int64_t>>();
  BOOST_TEST(taken.at(0) >= 3);  // of 24 images with 16 tokens each
  BOOST_TEST(
      message.find("steps by block: " + std::to_string(taken.at(0)) + ", 0, 0, 0 of 100000000") != std::string::npos,
      message);

  for (int again = 0; again < 2; ++again) {
    BOOST_TEST(train_small(run, again == 0 ? 1 : 3, options, true) == 0);
    BOOST_TEST(last_row(run).at("status") == "budget_spent");
    BOOST_TEST(last_row(run).at("steps").get<std::vector<std::int64_t>>() == std::vector<std::int64_t>(4, 0),
               boost::test_tools::per_element());
    BOOST_TEST(last_row(run).at("message").get<std::string>().starts_with("budget.tokens is spent ("));
  }
  BOOST_TEST(read_totals(run + "/ledger.jsonl").kept_cost().steps == taken.at(0));

  // Raised, the run goes on where it was.
  std::vector<std::string> raised = options;
  raised[2] = "budget.tokens=" + std::to_string(taken.at(0) * 384 + 1);
  BOOST_TEST(train_small(run, 1, raised, true) == 0);
  BOOST_TEST(last_row(run).at("steps").at(0).get<std::int64_t>() >= 1);
  BOOST_TEST(last_row(run).at("status") == "budget_spent");
}

// What every block has taken is all that was asked for, whatever else is spent.
BOOST_AUTO_TEST_CASE(a_run_that_has_all_its_steps_is_finished) {
  const TemporaryFolder folder;
  const std::string run = folder.path("run");
  const std::vector<std::string> options{"budget.tokens=1"};
  BOOST_TEST(train_small(run, 2) == 0);
  BOOST_TEST(last_row(run).at("status") == "finished");
  BOOST_TEST(train_small(run, 2, options, true) == 0);
  BOOST_TEST(last_row(run).at("status") == "finished");
  BOOST_TEST(last_row(run).at("message") == "");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace blocktrain::trainer
