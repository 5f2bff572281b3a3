// Reading ledgers: of other versions, damaged, forged.
#include "trainer/ledger/reader.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <tuple>

#include "kernels/error.hpp"
#include "tests/trainer/ledger/support.hpp"
#include "trainer/ledger/recovery.hpp"
#include "trainer/ledger/totals.hpp"

using namespace blocktrain;
using namespace blocktrain::trainer;
using namespace blocktrain::trainer::test;

namespace {

std::string start(const std::string& format = "blocktrain-ledger/1.0", double time = 100) {
  return R"({"type":"run_start","time":)" + std::to_string(time) + R"(,"format":")" + format + "\"}\n";
}

std::string step(int block, int index, const std::string& tokens = "16", const std::string& joules = "2.5") {
  return R"({"type":"step","block":)" + std::to_string(block) + R"(,"step":)" + std::to_string(index) + R"(,"time":)" +
         std::to_string(101 + index) + R"(,"tokens":)" + tokens +
         R"(,"samples":1,"loss":0.5,"mse":null,"sigma":[0.1,2],"learning_rate":0.001,"gradient_norm":1,"seconds":0.5,)" +
         R"("joules":{"gpu":null,"cpu":)" + joules +
         R"(,"dram":null},"joules_estimated":true,"joules_reason":{"gpu":"none","cpu":null,"dram":"none"},)" +
         R"("bytes_sent":{"inter_block":0,"replica":0,"control":9},"memory":{"planned":1,"measured":1,"runtime":null},"ranks":[0]})" +
         "\n";
}

/// Rows of 2.0: of the step, and of what it has in common with others.
std::string new_step(int block, int index) {
  return R"({"type":"step","block":)" + std::to_string(block) + R"(,"step":)" + std::to_string(index) + R"(,"time":)" +
         std::to_string(101 + index) +
         R"(,"loss":0.5,"unweighted":0.25,"learning_rate":0.001,"gradient_norm":1,"seconds":0.5,)" +
         R"("joules":{"gpu":null,"cpu":2.5,"dram":null},"bytes_sent":{"control":9}})" + "\n";
}

std::string change(int block, int index, const std::string& tokens = "16") {
  return R"({"type":"change","time":100,"block":)" + std::to_string(block) + R"(,"step":)" + std::to_string(index) +
         R"(,"tokens":)" + tokens + R"(,"samples":1,"sigma":[0.1,2],"joules_estimated":true,)" +
         R"("joules_reason":{"gpu":"none","cpu":null,"dram":"none here"},"bytes_sent":{"inter_block":0,"replica":3},)" +
         R"("memory":{"planned":7,"measured":6,"runtime":null,"device_runtime":5,"device_runtime_scope":"board"},)" +
         R"("ranks":[0,4]})" + "\n";
}

std::string energy(double joules) {
  return R"({"type":"energy","time":103,"host":0,"device":-1,"source":"cpu","joules":)" + std::to_string(joules) +
         R"(,"seconds":1,"begin_ns":1,"end_ns":2})" + "\n";
}

LedgerTotals totals_of(const std::string& text) {
  Folder run;
  return read_totals(run.write("ledger.jsonl", text));
}

/// What is said about a ledger with this text.
std::string problem(const std::string& text) {
  Folder run;
  try {
    read_totals(run.write("ledger.jsonl", text));
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

/// A session of this program that takes one step of block 0.
void continue_with_a_step(const Folder& run, std::int64_t step) {
  LedgerWriter writer(run.name());
  writer.run_start({});
  StepRow row;
  row.step = step;
  row.tokens = 160;
  row.ranks = {0};
  writer.step(row);
}

bool contains(const std::string& text, const std::string& part) {
  const bool found = text.find(part) != std::string::npos;
  if (!found) BOOST_TEST_MESSAGE("not in: " << text);
  return found;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(ledger_reader)

BOOST_AUTO_TEST_CASE(totals_add_up_over_sessions) {
  const std::string lost =
      R"({"type":"lost","time":900,"blocks":[{"block":1,"from":1,"to":2,"steps":2,"tokens":32,"samples":2,"seconds":1,)"
      R"("joules":{"gpu":null,"cpu":4,"dram":null},"joules_unmeasured_steps":{"gpu":2,"cpu":0,"dram":2},)"
      R"("bytes_sent":{"inter_block":0,"replica":0,"control":18}}],"lost_file":"ledger.lost.jsonl","lost_file_bytes":100})";
  const LedgerTotals t = totals_of(start() + step(0, 0) + step(1, 0) + step(0, 1, "16", "null") + energy(20) + lost +
                                   "\n" + start("blocktrain-ledger/1.0", 1000) + energy(5) +
                                   R"({"type":"run_end","time":1010,"status":"finished","seconds":10})" + "\n");
  BOOST_REQUIRE_EQUAL(t.blocks.size(), 2u);
  BOOST_CHECK_EQUAL(t.blocks[0].steps, 2);
  BOOST_CHECK_EQUAL(t.blocks[0].tokens, 32);
  BOOST_CHECK_CLOSE(t.blocks[0].joules[1], 2.5, 1e-12);
  BOOST_CHECK_EQUAL(t.blocks[0].unmeasured_steps[1], 1);
  BOOST_CHECK_EQUAL(t.blocks[0].unmeasured_steps[0], 2);
  BOOST_CHECK_EQUAL(t.last_step[0], 1);
  BOOST_CHECK_EQUAL(t.last_step[1], 0);
  BOOST_CHECK_EQUAL(t.lost[1].steps, 2);
  BOOST_CHECK_CLOSE(t.lost_cost().joules[1], 4.0, 1e-12);
  BOOST_CHECK_EQUAL(t.kept_cost().steps, 3);
  BOOST_CHECK_EQUAL(t.kept_cost().bytes_sent[2], 27u);
  BOOST_CHECK_CLOSE(t.measured[1], 25.0, 1e-12);
  BOOST_CHECK(!t.measured_at_all[0]);
  BOOST_CHECK_EQUAL(t.sessions, 2);
  BOOST_CHECK_EQUAL(t.status, "finished");
  BOOST_CHECK_CLOSE(t.wall_seconds, 3.0 + 10.0, 1e-12);
}

BOOST_AUTO_TEST_CASE(a_newer_minor_version_with_unknown_rows_and_fields_is_read) {
  std::string odd = step(0, 0);
  odd.insert(1, R"("novelty":{"deep":[1,2]},)");
  const LedgerTotals t = totals_of(start("blocktrain-ledger/1.7") + R"({"type":"weather","block":null})" + "\n" + odd);
  BOOST_CHECK_EQUAL(t.blocks[0].steps, 1);
  BOOST_CHECK_EQUAL(t.rows, 3u);
}

BOOST_AUTO_TEST_CASE(another_major_version_is_refused_with_its_place) {
  for (const std::string format :
       {"blocktrain-ledger/3.0", "blocktrain-ledger/0.9", "blocktrain-ledger/", "other/1.0"}) {
    BOOST_CHECK(contains(problem(start(format)), "ledger.jsonl:1: the ledger's format is \"" + format));
  }
  BOOST_CHECK(contains(problem(start() + start("blocktrain-ledger/3.0")), "ledger.jsonl:2:"));
}

BOOST_AUTO_TEST_CASE(a_measurement_is_of_its_device) {
  Folder run;
  std::string board = energy(7);
  board.replace(board.find("\"device\":-1"), 11, "\"device\":3");
  LedgerReader reader(run.write("ledger.jsonl", start() + energy(6) + board + energy(8)));
  LedgerRow row;
  BOOST_REQUIRE(reader.next(row));
  for (const int device : {-1, 3, -1}) {
    BOOST_REQUIRE(reader.next(row));
    BOOST_CHECK_EQUAL(row.energy.device, device);
  }
}

BOOST_AUTO_TEST_CASE(what_minor_version_1_adds_is_read_and_may_be_missing) {
  Folder run;
  std::string with = energy(7);
  with.replace(with.find("\"end_ns\":2"), 10, R"("end_ns":2,"update_seconds":0.1,"error_joules":1.5)");
  std::string null = energy(8);
  null.replace(null.find("\"end_ns\":2"), 10, R"("end_ns":2,"update_seconds":null,"error_joules":null)");
  const std::string end = R"({"type":"run_end","time":110,"status":"finished","seconds":10,"joules":{)"
                          R"("evaluation":{"gpu":null,"cpu":2,"dram":null},)"
                          R"("checkpoint":{"gpu":null,"cpu":1,"dram":null},)"
                          R"("idle":{"gpu":null,"cpu":4,"dram":null}}})";
  LedgerReader reader(run.write("ledger.jsonl", start("blocktrain-ledger/1.1") + energy(6) + with + null + end + "\n"));
  LedgerRow row;
  BOOST_REQUIRE(reader.next(row));
  BOOST_REQUIRE(reader.next(row));
  BOOST_CHECK_EQUAL(row.energy.update_seconds, -1);
  BOOST_CHECK_EQUAL(row.energy.error_joules, -1);
  BOOST_REQUIRE(reader.next(row));
  BOOST_CHECK_EQUAL(row.energy.update_seconds, 0.1);
  BOOST_CHECK_EQUAL(row.energy.error_joules, 1.5);
  BOOST_REQUIRE(reader.next(row));
  BOOST_CHECK_EQUAL(row.energy.update_seconds, -1);
  BOOST_REQUIRE(reader.next(row));
  BOOST_CHECK_EQUAL(row.evaluation[1], 2);
  BOOST_CHECK_EQUAL(row.checkpoint[1], 1);
  BOOST_CHECK_EQUAL(row.idle[1], 4);
  BOOST_CHECK_EQUAL(row.idle[0], 0);
  const std::string bad = R"("update_seconds":-3)";
  with.replace(with.find("\"update_seconds\":0.1"), 20, bad);
  BOOST_CHECK(contains(problem(start() + with + step(0, 0)), "\"update_seconds\""));
}

BOOST_AUTO_TEST_CASE(what_minor_version_2_adds_is_read_and_may_be_missing) {
  Folder run;
  const auto with = [](const std::string& more) {
    std::string row = step(0, 0);
    return row.replace(row.find("\"runtime\":null"), 14, "\"runtime\":7" + more);
  };
  const std::string text = start("blocktrain-ledger/1.2") + step(0, 0) + with("") +
                           with(R"(,"device_runtime":null,"device_runtime_scope":null)") +
                           with(R"(,"device_runtime":12,"device_runtime_scope":"process")") +
                           with(R"(,"device_runtime":13,"device_runtime_scope":"board")") +
                           with(R"(,"device_runtime":14,"device_runtime_scope":"something of 1.9")");
  LedgerReader reader(run.write("ledger.jsonl", text));
  LedgerRow row;
  BOOST_REQUIRE(reader.next(row));
  const auto next = [&](std::int64_t runtime, std::int64_t device_runtime, DeviceMemoryScope scope) {
    BOOST_REQUIRE(reader.next(row));
    BOOST_CHECK_EQUAL(row.step.memory_runtime, runtime);
    BOOST_CHECK_EQUAL(row.step.memory_device_runtime, device_runtime);
    BOOST_CHECK(row.step.memory_scope == scope);
  };
  next(-1, -1, DeviceMemoryScope::unknown);
  next(7, -1, DeviceMemoryScope::unknown);
  next(7, -1, DeviceMemoryScope::unknown);
  next(7, 12, DeviceMemoryScope::process);
  next(7, 13, DeviceMemoryScope::board);
  next(7, 14, DeviceMemoryScope::unknown);
  BOOST_CHECK(contains(problem(start() + with(R"(,"device_runtime":-4)") + step(0, 0)), "\"device_runtime\""));
}

BOOST_AUTO_TEST_CASE(a_step_row_has_what_its_change_row_says) {
  Folder run;
  LedgerReader reader(run.write("ledger.jsonl", start("blocktrain-ledger/2.0") + change(0, 0) + new_step(0, 0) +
                                                    change(1, 0, "32") + new_step(0, 1) + new_step(1, 0) +
                                                    change(0, 2, "64") + new_step(1, 1) + new_step(0, 2)));
  LedgerRow row;
  std::vector<std::tuple<int, std::int64_t, std::int64_t>> tokens;
  while (reader.next(row)) {
    if (row.type != "step") continue;
    const StepRow& step = row.step;
    tokens.emplace_back(step.block, step.step, step.tokens);
    BOOST_CHECK_EQUAL(step.time, 101 + static_cast<double>(step.step));
    BOOST_CHECK_EQUAL(step.loss, 0.5);
    BOOST_CHECK_EQUAL(step.unweighted, 0.25);
    BOOST_CHECK_EQUAL(step.learning_rate, 0.001);
    BOOST_CHECK_EQUAL(step.gradient_norm, 1);
    BOOST_CHECK_EQUAL(step.seconds, 0.5);
    BOOST_CHECK_EQUAL(step.joules[1], 2.5);
    BOOST_CHECK(std::isnan(step.joules[0]));
    BOOST_CHECK_EQUAL(step.joules_reason[0], "none");
    BOOST_CHECK_EQUAL(step.joules_reason[1], "");
    BOOST_CHECK_EQUAL(step.joules_reason[2], "none here");
    BOOST_CHECK((step.bytes_sent == ByPurpose{0, 3, 9}));
    BOOST_CHECK_EQUAL(step.samples, 1);
    BOOST_CHECK_EQUAL(step.level_lo, 0.1);
    BOOST_CHECK_EQUAL(step.level_hi, 2);
    BOOST_CHECK_EQUAL(step.memory_planned, 7);
    BOOST_CHECK_EQUAL(step.memory_measured, 6);
    BOOST_CHECK_EQUAL(step.memory_runtime, -1);
    BOOST_CHECK_EQUAL(step.memory_device_runtime, 5);
    BOOST_CHECK(step.memory_scope == DeviceMemoryScope::board);
    BOOST_CHECK((step.ranks == std::vector<int>{0, 4}));
  }
  const decltype(tokens) expected{{0, 0, 16}, {0, 1, 16}, {1, 0, 32}, {1, 1, 32}, {0, 2, 64}};
  BOOST_CHECK(tokens == expected);
}

BOOST_AUTO_TEST_CASE(a_step_row_without_a_change_row_in_its_session_is_refused) {
  const std::string begin = start("blocktrain-ledger/2.0");
  BOOST_CHECK(contains(problem(begin + new_step(0, 0)), "ledger.jsonl:2: a step row of block 0 without a change row"));
  BOOST_CHECK(contains(problem(begin + change(1, 0) + new_step(0, 0)), "ledger.jsonl:3:"));
  BOOST_CHECK(contains(problem(begin + change(0, 0) + new_step(0, 0) + begin + new_step(0, 1)), "ledger.jsonl:5:"));
  BOOST_CHECK_EQUAL(problem(begin + change(0, 0) + new_step(0, 0) + begin + change(0, 1) + new_step(0, 1)), "");
}

BOOST_AUTO_TEST_CASE(fields_of_both_rows_are_checked) {
  const auto with = [](const std::string& from, const std::string& to) {
    std::string rows = change(0, 0) + new_step(0, 0);
    const std::size_t at = rows.find(from);
    BOOST_REQUIRE(at != std::string::npos);
    return problem(start("blocktrain-ledger/2.0") + rows.replace(at, from.size(), to) + change(0, 1) + new_step(0, 1));
  };
  BOOST_CHECK_EQUAL(with("\"tokens\":16", "\"tokens\":17,\"more\":{\"of\":2.3}"), "");
  BOOST_CHECK_EQUAL(with("\"unweighted\":0.25", "\"unweighted\":null"), "");
  BOOST_CHECK(contains(with("\"tokens\":16", "\"tokens\":-16"), ":2: damaged row: \"tokens\""));
  BOOST_CHECK(contains(with("\"samples\"", "\"sample\""), "\"samples\" is missing"));
  BOOST_CHECK(contains(with("[0.1,2]", "0.1"), "\"sigma\""));
  BOOST_CHECK(contains(with("\"replica\":3", "\"replica\":null"), "\"replica\""));
  BOOST_CHECK(contains(with("\"memory\":{", "\"memory\":0,\"m\":{"), "\"memory\""));
  BOOST_CHECK(contains(with("\"unweighted\"", "\"mse\""), ":3: damaged row: the field \"unweighted\" is missing"));
  BOOST_CHECK(contains(with("\"control\":9", "\"control\":-9"), "\"control\""));
  BOOST_CHECK(contains(with("\"cpu\":2.5", "\"cpu\":-2.5"), "below 0"));
}

BOOST_AUTO_TEST_CASE(a_torn_end_may_end_in_a_change_row) {
  const std::string whole = start("blocktrain-ledger/2.0") + change(0, 0) + new_step(0, 0), last = change(0, 1, "99");
  for (const std::size_t cut : {std::size_t{0}, std::size_t{1}, last.size() / 2, last.size() - 1, last.size()}) {
    const LedgerTotals t = totals_of(whole + last.substr(0, cut));
    BOOST_CHECK_EQUAL(t.blocks[0].steps, 1);
    BOOST_CHECK_EQUAL(t.blocks[0].tokens, 16);
    BOOST_CHECK_EQUAL(t.torn_bytes, cut == last.size() ? 0 : cut);
  }
}

// Begun by an older program and resumed by this one: the rows behind a run_start are of its format.
BOOST_AUTO_TEST_CASE(both_major_versions_in_one_ledger_are_read) {
  const std::string text = start("blocktrain-ledger/1.2") + step(0, 0) + R"({"type":"change","odd":1})" + "\n" +
                           step(0, 1) + start("blocktrain-ledger/2.0", 1000) + change(0, 2, "100") + new_step(0, 2);
  const LedgerTotals t = totals_of(text);
  BOOST_CHECK_EQUAL(t.blocks[0].steps, 3);
  BOOST_CHECK_EQUAL(t.blocks[0].tokens, 16 + 16 + 100);
  BOOST_CHECK_EQUAL(t.sessions, 2);
  BOOST_CHECK(contains(problem(text + step(0, 3) + new_step(0, 3)), ":8: damaged row"));
}

// tests/fixtures/ledger-1.0: a run of 8 steps by the program at 5c4a3ad8, with a made-up powercap tree.
BOOST_AUTO_TEST_CASE(a_ledger_of_version_1_0_is_read_and_continued) {
  const std::filesystem::path source = std::getenv("BLOCKTRAIN_TEST_SOURCE_DIR");
  Folder run;
  std::filesystem::copy(source / "tests/fixtures/ledger-1.0/ledger.jsonl", run.path / "ledger.jsonl");
  const LedgerTotals before = read_totals(run.name() + "/ledger.jsonl");
  BOOST_CHECK_EQUAL(before.status, "finished");
  BOOST_CHECK_EQUAL(before.kept_cost().steps, 32);
  BOOST_CHECK_CLOSE(before.measured[1], 28.01471, 1e-6);
  BOOST_CHECK_CLOSE(before.idle[1], 25.4954629, 1e-6);
  BOOST_CHECK_EQUAL(before.evaluation[1], 0);  // in 1.0 a part of idle
  BOOST_CHECK_SMALL(before.unattributed()[1], 1e-6);

  BOOST_CHECK(!recover_ledger(run.name(), {8, 8, 8, 8}).suspicious());
  continue_with_a_step(run, 8);
  const LedgerTotals after = read_totals(run.name() + "/ledger.jsonl");
  BOOST_CHECK_EQUAL(after.sessions, 2);
  BOOST_CHECK_EQUAL(after.kept_cost().steps, 33);
  BOOST_CHECK_EQUAL(after.kept_cost().tokens, before.kept_cost().tokens + 160);
}

// tests/fixtures/ledger-1.2: what a run of the program at f99eb9a7 had written when block 1 had taken 22 steps of 400.
BOOST_AUTO_TEST_CASE(a_ledger_of_version_1_2_is_recovered_and_continued) {
  const std::filesystem::path source = std::getenv("BLOCKTRAIN_TEST_SOURCE_DIR");
  Folder run;
  std::filesystem::copy(source / "tests/fixtures/ledger-1.2/ledger.jsonl", run.path / "ledger.jsonl");
  const StepCost before = read_totals(run.name() + "/ledger.jsonl").kept_cost();
  BOOST_CHECK_EQUAL(before.tokens, 512 * before.steps);

  const RecoveryReport report = recover_ledger(run.name(), {20, 20, 20, 20});
  BOOST_CHECK(!report.suspicious());
  continue_with_a_step(run, 20);
  BOOST_CHECK(!recover_ledger(run.name(), {21, 20, 20, 20}).suspicious());
  continue_with_a_step(run, 21);
  BOOST_CHECK(!recover_ledger(run.name(), {20, 20, 20, 20}).suspicious());  // both versions in one recovery

  const LedgerTotals after = read_totals(run.name() + "/ledger.jsonl");
  BOOST_CHECK_EQUAL(after.sessions, 3);
  BOOST_CHECK_EQUAL(after.kept_cost().steps, 80);
  BOOST_CHECK_EQUAL(after.kept_cost().tokens + after.lost_cost().tokens, before.tokens + 2 * 160);
  const std::string lost = run.read("ledger.lost.jsonl");
  BOOST_CHECK_EQUAL(rows_of(lost, "step").size(), static_cast<std::size_t>(before.steps - 80 + 2));
  BOOST_CHECK_EQUAL(rows_of(lost, "change").size(), 2u);
}

BOOST_AUTO_TEST_CASE(what_is_no_ledger_is_refused) {
  BOOST_CHECK(contains(problem("hello\n"), "not a ledger"));
  BOOST_CHECK(contains(problem("{\"type\":\"step\"}\n"), "not a ledger"));
  BOOST_CHECK(contains(problem(step(0, 0)), "does not begin with a run_start"));
  BOOST_CHECK_THROW(read_totals("/nowhere/ledger.jsonl"), InputError);
  BOOST_CHECK_THROW(read_totals("/"), InputError);
}

BOOST_AUTO_TEST_CASE(a_torn_end_is_left_out_wherever_it_is_torn) {
  const std::string whole = start() + step(0, 0), last = step(0, 1);
  for (std::size_t cut = 0; cut < last.size(); ++cut) {
    const LedgerTotals t = totals_of(whole + last.substr(0, cut));
    BOOST_REQUIRE_EQUAL(t.blocks[0].steps, 1);
    BOOST_REQUIRE_EQUAL(t.torn_bytes, cut);
  }
  // After a power failure the end may be blocks of zeros, or lines of nothing.
  const LedgerTotals t = totals_of(whole + std::string(5000, '\0') + "\n{}\n" + last.substr(0, 20));
  BOOST_CHECK_EQUAL(t.blocks[0].steps, 1);
  BOOST_CHECK_EQUAL(t.torn_bytes, 5000u + 4 + 20);
  BOOST_CHECK_EQUAL(totals_of("").rows, 0u);
  BOOST_CHECK_EQUAL(totals_of(start().substr(0, 10)).torn_bytes, 10u);
}

BOOST_AUTO_TEST_CASE(a_damaged_row_in_the_middle_is_named) {
  const std::string broken = step(0, 1).substr(0, 60) + "\n";
  BOOST_CHECK(
      contains(problem(start() + step(0, 0) + broken + step(0, 2)), "ledger.jsonl:3: damaged row: the line is not"));
}

BOOST_AUTO_TEST_CASE(fields_are_checked) {
  const auto with = [](std::string row, const std::string& from, const std::string& to) {
    const std::size_t at = row.find(from);
    BOOST_REQUIRE(at != std::string::npos);
    return problem(start() + row.replace(at, from.size(), to) + step(0, 9));
  };
  BOOST_CHECK_EQUAL(with(step(0, 0), "\"tokens\":16", "\"tokens\":17"), "");
  BOOST_CHECK(contains(with(step(0, 0), "\"tokens\":16", "\"tokens\":-16"), ":2: damaged row: \"tokens\""));
  BOOST_CHECK(contains(with(step(0, 0), "\"tokens\":16", "\"tokens\":1.5"), "\"tokens\""));
  BOOST_CHECK(contains(with(step(0, 0), "\"tokens\":16", "\"tokens\":99999999999999999999"), "\"tokens\""));
  BOOST_CHECK(contains(with(step(0, 0), "\"tokens\":16", "\"token\":16"), "\"tokens\" is missing"));
  BOOST_CHECK(contains(with(step(0, 0), "\"block\":0", "\"block\":-1"), "\"block\""));
  BOOST_CHECK(contains(with(step(0, 0), "\"block\":0", "\"block\":5000000000"), "\"block\""));
  BOOST_CHECK(contains(with(step(0, 0), "\"cpu\":2.5", "\"cpu\":-2.5"), "below 0"));
  BOOST_CHECK(contains(with(step(0, 0), "\"cpu\":2.5", "\"cpu\":\"2.5\""), "\"cpu\""));
  BOOST_CHECK(contains(with(step(0, 0), "[0.1,2]", "[0.1]"), "\"sigma\""));
  BOOST_CHECK(contains(with(step(0, 0), "\"ranks\":[0]", "\"ranks\":[\"a\"]"), "\"ranks\""));
  BOOST_CHECK(contains(with(step(0, 0), "\"seconds\":0.5", "\"seconds\":null"), "\"seconds\""));
  BOOST_CHECK(contains(
      with(step(0, 0), "\"joules_reason\":{\"gpu\":\"none\",\"cpu\":null,\"dram\":\"none\"}", "\"joules_reason\":[]"),
      "\"joules_reason\""));
  BOOST_CHECK(contains(with(energy(5), "\"cpu\"", "\"sun\""), "not gpu, cpu or dram"));
}

BOOST_AUTO_TEST_CASE(forged_numbers_end_in_an_error_not_in_an_overflow) {
  std::string text = start();
  for (int i = 0; i < 1100; ++i) text += step(0, i, "9007199254740992");
  BOOST_CHECK(contains(problem(text), "forged"));
  BOOST_CHECK(contains(problem(start() + step(1 << 20, 0)), "is more than the"));
}

BOOST_AUTO_TEST_CASE(random_damage_ends_in_an_error_or_a_sum) {
  std::string sound = start();
  for (int i = 0; i < 3; ++i) sound += step(i % 2, i) + energy(i);
  sound += start("blocktrain-ledger/2.0") + change(0, 3) + change(1, 3);
  for (int i = 3; i < 6; ++i) sound += new_step(i % 2, i) + energy(i);
  Dice dice(3);
  int refused = 0;
  for (int round = 0; round < 400; ++round) {
    std::string text = sound;
    for (std::int64_t n = 1 + dice.below(3); n > 0; --n) {
      text[static_cast<std::size_t>(dice.below(static_cast<std::int64_t>(text.size())))] =
          static_cast<char>(dice.below(256));
    }
    if (!problem(text).empty()) ++refused;
  }
  BOOST_CHECK_GT(refused, 40);
}

BOOST_AUTO_TEST_CASE(rows_longer_than_a_chunk_are_read) {
  const std::string note = R"({"type":"note","text":")" + std::string(3 << 20, 'x') + "\"}\n";
  BOOST_CHECK_EQUAL(totals_of(start() + note + step(0, 0) + note + step(0, 1)).blocks[0].steps, 2);
}

BOOST_AUTO_TEST_SUITE_END()
