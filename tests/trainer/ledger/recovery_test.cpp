// Recovery: what is moved, that nothing is counted twice, and that a stop at any instant does no harm.
#include "trainer/ledger/recovery.hpp"

#include <boost/test/unit_test.hpp>
#include <map>

#include "kernels/error.hpp"
#include "tests/trainer/ledger/support.hpp"

using namespace blocktrain;
using namespace blocktrain::trainer;
using namespace blocktrain::trainer::test;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

/// What the change rows of a session say of a step.
std::int64_t planned(std::int64_t step) { return 1000 + step / 4; }

/// A session of `blocks` blocks from `first` to `last` (exclusive), with evaluations, that ends without a run_end.
void session(const Folder& run, const std::vector<std::int64_t>& first, const std::vector<std::int64_t>& last) {
  RunLedgerOptions options;
  options.directory = run.name();
  options.first_step = first;
  options.places.assign(first.size(), RankPlace{});
  RunLedger ledger(options);
  ledger.start({});
  for (const auto source : {EnergySource::gpu, EnergySource::cpu, EnergySource::dram})
    ledger.add(no_sensor(source, "none"));
  for (std::int64_t s = 0; s < 100; ++s) {
    for (std::size_t b = 0; b < first.size(); ++b) {
      if (s < first[b] || s >= last[b]) continue;
      StepRecord record = step_record(static_cast<int>(b), s, static_cast<int>(b));
      record.memory_planned = planned(s);
      ledger.add(record, 0);
      if ((s + 1) % 5 == 0) ledger.eval({static_cast<int>(b), s + 1, 10, 0.1, {{"loss", 1.0}}});
    }
  }
}

/// Rows of steps by (block, step), of the ledger or the lost file.
std::vector<std::pair<int, int>> steps(const Folder& run, const std::string& file) {
  std::vector<std::pair<int, int>> all;
  for (const json& row : rows_of(run.read(file), "step"))
    all.emplace_back(row["block"].get<int>(), row["step"].get<int>());
  return all;
}

/// Each step row has the change row that it was written with, by the order of the lines and, in a ledger, by its steps.
void check_change_rows(const Folder& run, const std::string& file, bool by_step) {
  const std::string text = run.read(file);
  for (const json& step : steps_of(text))
    BOOST_CHECK_EQUAL(step["memory"]["planned"].get<std::int64_t>(), planned(step["step"].get<std::int64_t>()));
  if (!by_step) return;
  std::map<int, std::map<int, json>> changes;
  for (const json& change : rows_of(text, "change")) {
    const bool fresh = changes[change["block"].get<int>()].emplace(change["step"].get<int>(), change).second;
    BOOST_CHECK_MESSAGE(fresh, "two change rows of one step: " << change);
  }
  for (const json& step : rows_of(text, "step")) {
    const auto& theirs = changes.at(step["block"].get<int>());
    const auto behind = theirs.upper_bound(step["step"].get<int>());
    BOOST_REQUIRE(behind != theirs.begin());
    BOOST_CHECK_EQUAL(std::prev(behind)->second["memory"]["planned"].get<std::int64_t>(),
                      planned(step["step"].get<std::int64_t>()));
  }
}

/// The ledger without what differs from run to run.
std::string without_times(const std::string& text) {
  std::string out;
  for (json& row : rows_of(text)) {
    row.erase("time");
    out += row.dump() + "\n";
  }
  return out;
}

struct Stop {};

}  // namespace

BOOST_AUTO_TEST_SUITE(ledger_recovery)

BOOST_AUTO_TEST_CASE(nothing_there_is_nothing_to_do) {
  Folder run;
  const RecoveryReport report = recover_ledger(run.name(), {0, 0});
  BOOST_CHECK(!report.existed);
  BOOST_CHECK(fs::is_empty(run.path));
  BOOST_CHECK_EQUAL(describe(report), "");
}

BOOST_AUTO_TEST_CASE(repeated_steps_move_and_their_cost_stays) {
  Folder run;
  session(run, {0, 0}, {12, 9});
  const LedgerTotals before = read_totals(run.name() + "/ledger.jsonl");
  const RecoveryReport report = recover_ledger(run.name(), {10, 5});
  BOOST_REQUIRE_EQUAL(report.lost.size(), 2u);
  BOOST_CHECK_EQUAL(report.lost[0].from, 10);
  BOOST_CHECK_EQUAL(report.lost[0].to, 11);
  BOOST_CHECK_EQUAL(report.lost[0].cost.steps, 2);
  BOOST_CHECK_EQUAL(report.lost[1].cost.steps, 4);
  BOOST_CHECK_EQUAL(report.lost[1].cost.tokens, 4 * 160);
  BOOST_CHECK(!report.suspicious());

  const json lost = rows_of(run.read("ledger.jsonl"), "lost")[0];
  BOOST_CHECK_EQUAL(lost["blocks"][1]["block"], 1);
  BOOST_CHECK_EQUAL(lost["blocks"][1]["from"], 5);
  BOOST_CHECK_EQUAL(lost["blocks"][1]["bytes_sent"]["control"], 400);
  BOOST_CHECK(lost["blocks"][1]["joules"]["cpu"].is_null());
  BOOST_CHECK_EQUAL(lost["blocks"][1]["joules_unmeasured_steps"]["cpu"], 4);
  BOOST_CHECK_EQUAL(lost["lost_file_bytes"], fs::file_size(run.path / "ledger.lost.jsonl"));
  BOOST_CHECK_EQUAL(steps(run, "ledger.jsonl").size(), 15u);
  BOOST_CHECK_EQUAL(steps(run, "ledger.lost.jsonl").size(), 6u);

  const LedgerTotals after = read_totals(run.name() + "/ledger.jsonl");
  StepCost sum = after.kept_cost();
  sum.add(after.lost_cost());
  BOOST_CHECK_EQUAL(sum.steps, before.kept_cost().steps);
  BOOST_CHECK_EQUAL(sum.tokens, before.kept_cost().tokens);
  BOOST_CHECK_CLOSE(sum.seconds, before.kept_cost().seconds, 1e-9);
  BOOST_CHECK(sum.bytes_sent == before.kept_cost().bytes_sent);
  BOOST_CHECK_EQUAL(after.last_step[0], 9);
}

BOOST_AUTO_TEST_CASE(change_rows_hold_for_what_they_held_for) {
  Folder run;
  session(run, {0, 0}, {12, 9});  // change rows at 0, 4 and 8
  check_change_rows(run, "ledger.jsonl", true);
  recover_ledger(run.name(), {10, 5});
  check_change_rows(run, "ledger.jsonl", true);
  check_change_rows(run, "ledger.lost.jsonl", false);
  // Block 0's last change row is needed in both files; the one of block 1 at step 8 in one.
  const auto changes = [&](const char* file) {
    std::vector<std::pair<int, int>> found;
    for (const json& row : rows_of(run.read(file), "change"))
      found.emplace_back(row["block"].get<int>(), row["step"].get<int>());
    std::sort(found.begin(), found.end());
    return found;
  };
  using Steps = std::vector<std::pair<int, int>>;
  BOOST_CHECK(changes("ledger.jsonl") == (Steps{{0, 0}, {0, 4}, {0, 8}, {1, 0}, {1, 4}}));
  BOOST_CHECK(changes("ledger.lost.jsonl") == (Steps{{0, 8}, {1, 4}, {1, 8}}));
  const RecoveryReport again = recover_ledger(run.name(), {10, 5});
  BOOST_CHECK(again.lost.empty());

  session(run, {10, 5}, {20, 20});
  check_change_rows(run, "ledger.jsonl", true);
  recover_ledger(run.name(), {0, 6});  // no checkpoint of block 0 was good, and one from before the last session
  check_change_rows(run, "ledger.jsonl", true);
  check_change_rows(run, "ledger.lost.jsonl", false);
  session(run, {0, 6}, {20, 20});
  check_change_rows(run, "ledger.jsonl", true);
  BOOST_CHECK_EQUAL(steps_of(run.read("ledger.jsonl")).size(), 40u);
  BOOST_CHECK_EQUAL(read_totals(run.name() + "/ledger.jsonl").lost[0].tokens, (2 + 20) * 160);
}

BOOST_AUTO_TEST_CASE(a_change_row_whose_step_was_never_written_is_taken_out_and_costs_nothing) {
  Folder run;
  session(run, {0}, {9});
  std::string text = run.read("ledger.jsonl");
  text.erase(text.rfind("{\"type\":\"step\""));  // a crash between the two rows of step 8
  const std::size_t last = text.rfind("{\"type\":\"change\"");
  BOOST_REQUIRE_EQUAL(json::parse(text.substr(last))["step"], 8);
  run.write("ledger.jsonl", text);
  const RecoveryReport report = recover_ledger(run.name(), {8});
  BOOST_CHECK_EQUAL(describe(report), "");
  BOOST_CHECK_EQUAL(run.read("ledger.jsonl"), text.substr(0, last));
  BOOST_CHECK(!fs::exists(run.path / "ledger.lost.jsonl"));
  session(run, {8}, {12});
  check_change_rows(run, "ledger.jsonl", true);
}

BOOST_AUTO_TEST_CASE(evaluations_are_not_repeated_rows_at_the_checkpoint_itself) {
  Folder run;
  session(run, {0}, {12});
  recover_ledger(run.name(), {5});
  const auto kept = rows_of(run.read("ledger.jsonl"), "eval"), lost = rows_of(run.read("ledger.lost.jsonl"), "eval");
  BOOST_REQUIRE_EQUAL(kept.size(), 1u);
  BOOST_CHECK_EQUAL(kept[0]["step"], 5);
  BOOST_REQUIRE_EQUAL(lost.size(), 1u);
  BOOST_CHECK_EQUAL(lost[0]["step"], 10);
}

BOOST_AUTO_TEST_CASE(a_ledger_that_agrees_is_left_alone) {
  Folder run;
  session(run, {0, 0}, {10, 5});
  const std::string before = run.read("ledger.jsonl");
  recover_ledger(run.name(), {10, 5});
  BOOST_CHECK_EQUAL(run.read("ledger.jsonl"), before);
  BOOST_CHECK(!fs::exists(run.path / "ledger.lost.jsonl"));
}

BOOST_AUTO_TEST_CASE(a_torn_last_row_is_cut) {
  Folder run;
  session(run, {0}, {3});
  const std::string whole = run.read("ledger.jsonl");
  run.write("ledger.jsonl", whole + whole.substr(0, 40));
  const RecoveryReport report = recover_ledger(run.name(), {3});
  BOOST_CHECK_EQUAL(report.torn_bytes, 40u);
  BOOST_CHECK_EQUAL(run.read("ledger.jsonl"), whole);
  BOOST_CHECK_NE(describe(report).find("40 bytes"), std::string::npos);
  run.write("ledger.jsonl", whole + whole.substr(0, 40));
  BOOST_CHECK_EQUAL(recover_ledger(run.name(), {2}).torn_bytes, 40u);  // with rows to move at the same time
  BOOST_CHECK_EQUAL(steps(run, "ledger.jsonl").size(), 2u);
  BOOST_CHECK_EQUAL(recover_ledger(run.name(), {2}).torn_bytes, 0u);
}

BOOST_AUTO_TEST_CASE(a_run_may_be_interrupted_many_times) {
  Folder run;
  session(run, {0, 0}, {12, 9});
  recover_ledger(run.name(), {10, 5});
  session(run, {10, 5}, {13, 20});
  recover_ledger(run.name(), {10, 15});
  session(run, {10, 15}, {20, 20});
  recover_ledger(run.name(), {20, 20});
  const LedgerTotals totals = read_totals(run.name() + "/ledger.jsonl");
  BOOST_CHECK_EQUAL(totals.sessions, 3);
  BOOST_CHECK_EQUAL(totals.kept_cost().steps, 40);
  BOOST_CHECK_EQUAL(totals.lost[0].steps, 2 + 3);
  BOOST_CHECK_EQUAL(totals.lost[1].steps, 4 + 5);
  const auto lost = steps(run, "ledger.lost.jsonl");
  BOOST_CHECK_EQUAL(lost.size(), 14u);
  const auto kept = steps(run, "ledger.jsonl");
  for (int b = 0; b < 2; ++b) {
    for (int s = 0; s < 20; ++s) BOOST_CHECK_EQUAL(std::count(kept.begin(), kept.end(), std::pair(b, s)), 1);
  }
}

BOOST_AUTO_TEST_CASE(a_stop_after_any_step_changes_nothing_in_the_end) {
  // Two sessions, so that the lost file has committed rows already; a torn end, too.
  Folder prepared;
  session(prepared, {0, 0}, {12, 9});
  recover_ledger(prepared.name(), {10, 5});
  session(prepared, {10, 5}, {18, 18});
  std::ofstream(prepared.path / "ledger.jsonl", std::ios::app) << "{\"type\":\"st";
  const auto prepare = [&prepared](const Folder& run) {
    for (const char* file : {"ledger.jsonl", "ledger.lost.jsonl"}) fs::copy_file(prepared.path / file, run.path / file);
  };
  const std::vector<std::int64_t> resume{15, 10};
  Folder undisturbed;
  prepare(undisturbed);
  int count = 0;
  recover_ledger(undisturbed.name(), resume, [&count](const char*) { ++count; });
  BOOST_CHECK_GE(count, 7);
  const std::string ledger = without_times(undisturbed.read("ledger.jsonl"));
  const std::string lost = without_times(undisturbed.read("ledger.lost.jsonl"));

  for (int stop = 0; stop < count; ++stop) {
    for (const double torn : {1.0, 0.5}) {
      Folder run;
      prepare(run);
      const auto committed = fs::file_size(run.path / "ledger.lost.jsonl");
      int at = 0;
      std::string where;
      const auto hook = [&](const char* step) {
        if (at++ != stop) return;
        where = step;
        throw Stop{};
      };
      BOOST_CHECK_THROW(recover_ledger(run.name(), resume, hook), Stop);
      if (torn < 1) {  // the machine stopped in the middle of what that step wrote
        const fs::path lost_file = run.path / "ledger.lost.jsonl", aside = run.path / "ledger.jsonl.recovering";
        if (where == "lost rows are appended") {
          const auto size = fs::file_size(lost_file);
          BOOST_REQUIRE_GT(size, committed);
          fs::resize_file(lost_file, committed + (size - committed) / 2);
        }
        if (fs::exists(aside)) fs::resize_file(aside, fs::file_size(aside) / 2);
      }
      recover_ledger(run.name(), resume);
      BOOST_CHECK_MESSAGE(without_times(run.read("ledger.jsonl")) == ledger, "ledger after a stop when " << where);
      BOOST_CHECK_MESSAGE(without_times(run.read("ledger.lost.jsonl")) == lost,
                          "lost rows after a stop when " << where);
      BOOST_CHECK(!fs::exists(run.path / "ledger.jsonl.recovering"));
    }
  }
}

BOOST_AUTO_TEST_CASE(a_stop_and_then_an_older_checkpoint_moves_more_without_duplicates) {
  Folder run;
  session(run, {0}, {20});
  int at = 0;
  BOOST_CHECK_THROW(recover_ledger(run.name(), {15},
                                   [&at](const char*) {
                                     if (++at == 2) throw Stop{};
                                   }),
                    Stop);
  recover_ledger(run.name(), {10});  // the newest checkpoint turned out to be damaged
  BOOST_CHECK_EQUAL(steps(run, "ledger.jsonl").size(), 10u);
  const auto lost = steps(run, "ledger.lost.jsonl");
  BOOST_REQUIRE_EQUAL(lost.size(), 10u);
  for (int s = 10; s < 20; ++s) BOOST_CHECK(lost[static_cast<std::size_t>(s - 10)] == std::pair(0, s));
}

BOOST_AUTO_TEST_CASE(missing_and_repeated_rows_are_reported) {
  Folder run;
  session(run, {0, 0}, {10, 10});
  auto rows = rows_of(run.read("ledger.jsonl"));
  std::string text;
  for (const json& row : rows) {
    const bool step = row["type"] == "step" && row["block"] == 0;
    if (step && (row["step"] == 3 || row["step"] == 4)) continue;
    text += row.dump() + "\n";
    if (step && row["step"] == 6) text += row.dump() + "\n";
  }
  run.write("ledger.jsonl", text);
  const RecoveryReport report = recover_ledger(run.name(), {10, 12});
  BOOST_REQUIRE_EQUAL(report.missing.size(), 2u);
  BOOST_CHECK_EQUAL(report.missing[0].block, 0);
  BOOST_CHECK_EQUAL(report.missing[0].from, 3);
  BOOST_CHECK_EQUAL(report.missing[0].to, 5);
  BOOST_CHECK_EQUAL(report.missing[1].block, 1);
  BOOST_CHECK_EQUAL(report.missing[1].from, 10);
  BOOST_CHECK_EQUAL(report.missing[1].to, 12);
  BOOST_CHECK_EQUAL(report.repeated_rows, 1);
  BOOST_CHECK(report.suspicious());
  BOOST_CHECK_NE(describe(report).find("no rows for steps 3 to 4 of block 0"), std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_lost_file_that_somebody_removed_is_reported_and_begun_again) {
  Folder run;
  session(run, {0}, {10});
  recover_ledger(run.name(), {5});
  fs::remove(run.path / "ledger.lost.jsonl");
  session(run, {5}, {10});
  BOOST_CHECK(recover_ledger(run.name(), {8}).lost_file_shrunk);
  BOOST_CHECK_EQUAL(steps(run, "ledger.lost.jsonl").size(), 2u);
  BOOST_CHECK(!recover_ledger(run.name(), {8}).lost_file_shrunk);
}

BOOST_AUTO_TEST_CASE(damage_is_refused_and_nothing_changes) {
  Folder run;
  session(run, {0}, {10});
  std::string text = run.read("ledger.jsonl");
  text[text.find("\"step\":4") + 2] = '"';
  run.write("ledger.jsonl", text);
  BOOST_CHECK_THROW(recover_ledger(run.name(), {5}), InputError);
  BOOST_CHECK_EQUAL(run.read("ledger.jsonl"), text);
  BOOST_CHECK(!fs::exists(run.path / "ledger.lost.jsonl"));
}

BOOST_AUTO_TEST_CASE(the_ledger_of_another_run_or_of_a_living_one_is_refused) {
  Folder run;
  session(run, {0, 0, 0}, {5, 5, 5});
  BOOST_CHECK_THROW(recover_ledger(run.name(), {5, 5}), InputError);
  const LedgerWriter writer(run.name());
  BOOST_CHECK_THROW(recover_ledger(run.name(), {5, 5, 5}), InputError);
}

BOOST_AUTO_TEST_SUITE_END()
