// Rows as text: what JSON cannot say, what a disk refuses, what Python reads.
#include <sys/resource.h>

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <csignal>
#include <functional>
#include <set>

#include "kernels/error.hpp"
#include "tests/trainer/ledger/support.hpp"
#include "trainer/ledger/ledger.hpp"

using namespace blocktrain;
using namespace blocktrain::trainer;
using namespace blocktrain::trainer::test;
using nlohmann::json;

namespace {

constexpr double not_measured = std::numeric_limits<double>::quiet_NaN();

StepRow step_row() {
  StepRow row;
  row.block = 2;
  row.step = 41;
  row.time = 1.75e9 + 0.125;
  row.tokens = 2048;
  row.samples = 128;
  row.loss = 0.1;
  row.unweighted = 1.0 / 3;
  row.level_lo = 0.13;
  row.level_hi = 80;
  row.learning_rate = 1e-4;
  row.gradient_norm = 1e-20;
  row.seconds = 0.25;
  row.joules = {not_measured, 12.5, not_measured};
  row.joules_reason = {"no GPU used", "", "no permission to read \"energy_uj\""};
  row.bytes_sent = {0, 1ull << 40, 7};
  row.memory_planned = 1ll << 35;
  row.memory_measured = 1ll << 35;
  row.ranks = {2, 3};
  return row;
}

const std::set<std::string> step_keys{"type",          "block",         "step",    "time",   "loss",      "unweighted",
                                      "learning_rate", "gradient_norm", "seconds", "joules", "bytes_sent"};
const std::set<std::string> change_keys{"type",          "block",      "step",   "time",
                                        "tokens",        "samples",    "sigma",  "joules_estimated",
                                        "joules_reason", "bytes_sent", "memory", "ranks"};

std::set<std::string> keys(const json& row) {
  std::set<std::string> found;
  for (const auto& item : row.items()) found.insert(item.key());
  return found;
}

json only_row(const Folder& run, const std::string& type) {
  const auto rows = rows_of(run.read("ledger.jsonl"), type);
  BOOST_REQUIRE_EQUAL(rows.size(), 1u);
  return rows[0];
}

}  // namespace

BOOST_AUTO_TEST_SUITE(ledger_rows)

BOOST_AUTO_TEST_CASE(a_step_is_told_by_its_row_and_a_change_row) {
  Folder run;
  LedgerWriter(run.name()).step(step_row());
  const std::string text = run.read("ledger.jsonl");
  const json row = only_row(run, "step"), change = only_row(run, "change");
  BOOST_CHECK_EQUAL(rows_of(text)[0]["type"], "change");
  BOOST_CHECK(keys(row) == step_keys);
  BOOST_CHECK(keys(change) == change_keys);
  for (const json& r : {row, change}) {
    BOOST_CHECK_EQUAL(r["block"], 2);
    BOOST_CHECK_EQUAL(r["step"], 41);
  }
  BOOST_CHECK_EQUAL(row["time"].get<double>(), 1.75e9 + 0.125);
  BOOST_CHECK_EQUAL(row["loss"].get<double>(), 0.1);
  BOOST_CHECK_EQUAL(row["unweighted"].get<double>(), 0.3333333);
  BOOST_CHECK_EQUAL(row["learning_rate"].get<double>(), 1e-4);
  BOOST_CHECK_EQUAL(row["gradient_norm"].get<double>(), 1e-20);
  BOOST_CHECK_EQUAL(row["seconds"].get<double>(), 0.25);
  BOOST_CHECK(row["joules"] == json({{"gpu", nullptr}, {"cpu", 12.5}, {"dram", nullptr}}));
  BOOST_CHECK(row["bytes_sent"] == json({{"control", 7}}));
  BOOST_CHECK_EQUAL(change["tokens"], 2048);
  BOOST_CHECK_EQUAL(change["samples"], 128);
  BOOST_CHECK(change["sigma"] == json::array({0.13, 80.0}));
  BOOST_CHECK_EQUAL(change["joules_estimated"], true);
  BOOST_CHECK(change["joules_reason"] ==
              json({{"gpu", "no GPU used"}, {"cpu", nullptr}, {"dram", "no permission to read \"energy_uj\""}}));
  BOOST_CHECK(change["bytes_sent"] == json({{"inter_block", 0}, {"replica", 1ull << 40}}));
  BOOST_CHECK(change["memory"] == json({{"planned", 1ll << 35},
                                        {"measured", 1ll << 35},
                                        {"runtime", nullptr},
                                        {"device_runtime", nullptr},
                                        {"device_runtime_scope", nullptr}}));
  BOOST_CHECK(change["ranks"] == json::array({2, 3}));
}

BOOST_AUTO_TEST_CASE(shares_of_masked_tokens_are_no_sigma) {
  Folder run;
  StepRow row = step_row();
  row.level_lo = 0.25;
  row.level_hi = 0.5;
  row.masks = true;
  LedgerWriter(run.name()).step(row);
  const json change = only_row(run, "change");
  BOOST_CHECK(change["sigma"].is_null());
  BOOST_CHECK(change["masked"] == json::array({0.25, 0.5}));
}

BOOST_AUTO_TEST_CASE(a_change_row_comes_when_something_differs_and_only_then) {
  Folder run;
  LedgerWriter writer(run.name());
  StepRow row = step_row();
  std::size_t expected = 0;
  const auto check = [&](const char* what, std::size_t more) {
    writer.step(row);
    expected += more;
    const auto changes = rows_of(run.read("ledger.jsonl"), "change");
    BOOST_CHECK_MESSAGE(changes.size() == expected, what << ": " << changes.size() << " change rows, not " << expected);
    expected = changes.size();
    if (more == 0) return;
    BOOST_CHECK_EQUAL(changes.back()["step"].get<std::int64_t>(), row.step);
    BOOST_CHECK_EQUAL(changes.back()["block"].get<int>(), row.block);
  };
  check("the first", 1);
  ++row.step;
  row.time = row.loss = row.unweighted = row.learning_rate = row.gradient_norm = row.seconds = 3;
  row.joules[1] = 7;
  row.bytes_sent[2] = 99;
  check("what a step row holds", 0);
  const std::vector<std::pair<const char*, std::function<void()>>> changes{
      {"tokens", [&] { ++row.tokens; }},
      {"samples", [&] { ++row.samples; }},
      {"level_lo", [&] { row.level_lo = 0.5; }},
      {"level_hi", [&] { row.level_hi = 8; }},
      {"masks", [&] { row.masks = true; }},
      {"a reason", [&] { row.joules_reason[0] = "another"; }},
      {"joules that end", [&] { row.joules[1] = not_measured; }},
      {"joules that begin", [&] { row.joules[2] = 0; }},
      {"inter_block", [&] { ++row.bytes_sent[0]; }},
      {"replica", [&] { ++row.bytes_sent[1]; }},
      {"planned", [&] { ++row.memory_planned; }},
      {"measured", [&] { ++row.memory_measured; }},
      {"runtime", [&] { row.memory_runtime = 5; }},
      {"device_runtime", [&] { row.memory_device_runtime = 6; }},
      {"scope", [&] { row.memory_scope = DeviceMemoryScope::board; }},
      {"ranks",
       [&] {
         row.ranks = {2, 4};
       }},
      {"another block", [&] { row.block = 0; }}};
  for (const auto& [what, change] : changes) {
    ++row.step;
    change();
    check(what, 1);
    ++row.step;
    check(what, 0);
  }
  row.block = 2;
  check("back to the first block, where nothing differs", 0);
  writer.run_start({});
  check("another session", 1);
}

// Whatever is measured or not: what a row lacks is in the other one.
BOOST_AUTO_TEST_CASE(rows_of_steps_have_all_of_their_keys_always) {
  for (const double joules : {not_measured, 3.0}) {
    Folder run;
    StepRow row = step_row();
    row.joules = {joules, joules, joules};
    row.memory_planned = row.memory_measured = -1;
    LedgerWriter(run.name()).step(row);
    const json change = only_row(run, "change"), step = only_row(run, "step");
    BOOST_CHECK(keys(step) == step_keys);
    BOOST_CHECK(keys(change) == change_keys);
    for (const char* source : {"gpu", "cpu", "dram"}) {
      BOOST_CHECK_EQUAL(step["joules"][source].is_null(), std::isnan(joules));
      BOOST_CHECK_EQUAL(change["joules_reason"][source].is_null(), !std::isnan(joules));
    }
    BOOST_CHECK_EQUAL(change["joules_estimated"], !std::isnan(joules));
    BOOST_CHECK(change["memory"]["planned"].is_null());
  }
}

BOOST_AUTO_TEST_CASE(a_step_row_is_shorter_than_300_bytes_whatever_its_values) {
  const double longest = 1.234567e-10;  // 12 characters, of which no real has more
  StepRow row = step_row();
  row.time = 1.7e9 + 0.123456;
  row.loss = row.unweighted = row.learning_rate = row.gradient_norm = row.seconds = longest;
  row.joules = {longest, longest, longest};
  row.block = 999;
  row.step = 999'999'999;
  row.bytes_sent = {1ull << 50, 1ull << 50, 9'999'999};
  Folder run;
  LedgerWriter writer(run.name());
  const auto length = [&] {
    writer.step(row);
    const std::string text = run.read("ledger.jsonl");
    return text.size() - text.rfind("{\"type\":\"step\"");
  };
  BOOST_CHECK_LT(length(), 300u);
  row.loss = row.seconds = 1.23456789e-10;
  row.joules = {12345678.9, 0.000123456789, 1.23456789e-20};
  BOOST_CHECK_LT(length(), 300u);
}

BOOST_AUTO_TEST_CASE(reals_of_a_step_row_read_as_they_were_said_to) {
  Dice dice(9);
  Folder run;
  LedgerWriter writer(run.name());
  std::vector<double> said;
  for (int i = 0; i < 500; ++i) {
    StepRow row = step_row();
    row.loss = std::ldexp(dice.uniform() - 0.5, static_cast<int>(dice.below(80)) - 40);
    said.push_back(as_in_step_row(row.loss));
    BOOST_CHECK_CLOSE(said.back(), row.loss, 5e-5);  // per cent: half of the seventh digit
    writer.step(row);
  }
  const auto rows = rows_of(run.read("ledger.jsonl"), "step");
  for (std::size_t i = 0; i < said.size(); ++i) BOOST_CHECK_EQUAL(rows[i]["loss"].get<double>(), said[i]);
}

BOOST_AUTO_TEST_CASE(memory_besides_the_arenas_of_a_gpu_says_whose_it_is) {
  for (const auto& [scope, name] :
       {std::pair(DeviceMemoryScope::process, "process"), {DeviceMemoryScope::board, "board"}}) {
    Folder run;
    StepRow row = step_row();
    row.memory_device_runtime = 0;
    row.memory_scope = scope;
    LedgerWriter(run.name()).step(row);
    const json memory = only_row(run, "change")["memory"];
    BOOST_CHECK_EQUAL(memory["device_runtime"], 0);
    BOOST_CHECK_EQUAL(memory["device_runtime_scope"], name);
  }
}

BOOST_AUTO_TEST_CASE(numbers_that_are_not_finite_are_null_and_named) {
  Folder run;
  StepRow row = step_row();
  row.loss = not_measured;
  row.gradient_norm = std::numeric_limits<double>::infinity();
  row.level_hi = -std::numeric_limits<double>::infinity();
  row.joules = {not_measured, not_measured, not_measured};
  LedgerWriter(run.name()).step(row);
  const json read = only_row(run, "step"), change = only_row(run, "change");
  BOOST_CHECK(read["loss"].is_null());
  BOOST_CHECK(read["gradient_norm"].is_null());
  BOOST_CHECK(read["not_finite"] == json::array({"loss", "gradient_norm"}));
  BOOST_CHECK(change["sigma"][1].is_null());
  BOOST_CHECK(change["not_finite"] == json::array({"sigma"}));
  BOOST_CHECK_EQUAL(change["joules_estimated"], false);
  BOOST_CHECK_EQUAL(change["joules_reason"]["cpu"], "not known");  // the row said none
}

BOOST_AUTO_TEST_CASE(text_of_any_bytes_becomes_json) {
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  for (const std::string& text : {all, std::string("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80 fine"),
                                  std::string("\xE2\x82"), std::string("\xC0\x80\xED\xA0\x80\xF4\x90\x80\x80")}) {
    Folder run;
    LedgerWriter(run.name()).failed(0, 1, 2, text);
    const std::string file = run.read("ledger.jsonl");
    BOOST_CHECK_EQUAL(std::count(file.begin(), file.end(), '\n'), 1);
    const json row = json::parse(file);  // throws for what is not UTF-8
    if (text.ends_with("fine")) BOOST_CHECK_EQUAL(row["reason"].get<std::string>(), text);
  }
}

BOOST_AUTO_TEST_CASE(random_texts_come_out_as_they_went_in) {
  Dice dice(5);
  JsonRow row;
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (std::int64_t n = dice.below(20); n > 0; --n) text += static_cast<char>(dice.below(128));
    row.begin("x");
    row.text("text", text);
    row.number("number", std::ldexp(dice.uniform() - 0.5, static_cast<int>(dice.below(2000)) - 1000));
    const json read = json::parse(row.finish());
    BOOST_REQUIRE_EQUAL(read["text"].get<std::string>(), text);
  }
}

BOOST_AUTO_TEST_CASE(a_config_is_an_object_or_a_text) {
  Folder run;
  LedgerWriter writer(run.name());
  RunStart start;
  start.config = "{\n  \"seed\": 7,\n  \"model\": {\"layers\": 8}\n}";
  start.hosts = {{"node1", "a CPU", 4, 2, 2, 1 << 30, ""}};
  start.extra = {{"commit", "abc"}};
  writer.run_start(start);
  start.config = "seed: 7\n";
  writer.run_start(start);
  const auto rows = rows_of(run.read("ledger.jsonl"));
  BOOST_REQUIRE_EQUAL(rows.size(), 2u);
  BOOST_CHECK_EQUAL(rows[0]["format"], ledger_format);
  BOOST_CHECK_EQUAL(rows[0]["config"]["model"]["layers"], 8);
  BOOST_CHECK_EQUAL(rows[0]["hosts"][0]["hostname"], "node1");
  BOOST_CHECK_EQUAL(rows[0]["hosts"][0]["threads"], 2);
  BOOST_CHECK_EQUAL(rows[0]["facts"]["commit"], "abc");
  BOOST_CHECK_EQUAL(rows[1]["config_text"], "seed: 7\n");
}

BOOST_AUTO_TEST_CASE(dollars_follow_from_joules_and_say_what_they_leave_out) {
  Folder run;
  LedgerWriter writer(run.name());
  RunEnd end;
  end.price_usd_per_kwh = 0.5;
  end.energy_reason = {"no GPU used", "", "no dram zone"};
  end.energy.measured_at_all = {false, true, false};
  end.energy.measured = {0, 7.2e6, 0};
  writer.run_end(end);
  end.energy.measured_at_all = {false, false, false};
  end.energy_reason[1] = "virtual machine";
  writer.run_end(end);
  const auto rows = rows_of(run.read("ledger.jsonl"));
  BOOST_CHECK_CLOSE(rows[0]["dollars"].get<double>(), 1.0, 1e-12);
  BOOST_CHECK_EQUAL(rows[0]["dollars_reason"], "does not include gpu: no GPU used; dram: no dram zone");
  BOOST_CHECK(rows[0]["joules"]["measured"]["gpu"].is_null());
  BOOST_CHECK_EQUAL(rows[0]["joules"]["measured"]["cpu"], 7.2e6);
  BOOST_CHECK(rows[1]["dollars"].is_null());
  BOOST_CHECK_NE(rows[1]["dollars_reason"].get<std::string>().find("cpu: virtual machine"), std::string::npos);
}

BOOST_AUTO_TEST_CASE(what_is_not_known_of_a_sensor_is_null) {
  Folder run;
  LedgerWriter writer(run.name());
  writer.sensor({0, 0, EnergySource::gpu, true, "nvml", "", 0.1, ""});
  writer.sensor({0, 1, EnergySource::gpu, true, "nvml", "", -1, "it did not move"});
  EnergyRecord energy;
  energy.device = 0;
  energy.source = EnergySource::gpu;
  energy.joules = 300;
  energy.end = 1'000'000'000;
  writer.energy(energy);
  energy.update_seconds = 0.1;
  energy.error_joules = 60;
  writer.energy(energy);
  const auto rows = rows_of(run.read("ledger.jsonl"));
  BOOST_CHECK_EQUAL(rows[0]["update_seconds"], 0.1);
  BOOST_CHECK(rows[0]["update_reason"].is_null());
  BOOST_CHECK(rows[1]["update_seconds"].is_null());
  BOOST_CHECK_EQUAL(rows[1]["update_reason"], "it did not move");
  BOOST_CHECK(rows[2]["update_seconds"].is_null());
  BOOST_CHECK(rows[2]["error_joules"].is_null());
  BOOST_CHECK_EQUAL(rows[3]["update_seconds"], 0.1);
  BOOST_CHECK_EQUAL(rows[3]["error_joules"], 60);
}

BOOST_AUTO_TEST_CASE(two_runs_cannot_write_one_ledger) {
  Folder run;
  LedgerWriter first(run.name());
  BOOST_CHECK_THROW(LedgerWriter second(run.name()), InputError);
}

BOOST_AUTO_TEST_CASE(a_torn_ledger_is_not_continued) {
  Folder run;
  run.write("ledger.jsonl", "{\"type\":\"run_st");
  BOOST_CHECK_THROW(LedgerWriter writer(run.name()), RunError);
}

BOOST_AUTO_TEST_CASE(a_full_disk_leaves_whole_rows_only) {
  Folder run;
  LedgerWriter writer(run.name());
  writer.step(step_row());
  const std::string before = run.read("ledger.jsonl");
  rlimit old{};
  BOOST_REQUIRE_EQUAL(::getrlimit(RLIMIT_FSIZE, &old), 0);
  rlimit small = old;
  small.rlim_cur = before.size() + 100;  // the next row is cut in the middle
  auto* const handler = std::signal(SIGXFSZ, SIG_IGN);
  BOOST_REQUIRE_EQUAL(::setrlimit(RLIMIT_FSIZE, &small), 0);
  BOOST_CHECK_THROW(writer.step(step_row()), RunError);
  BOOST_REQUIRE_EQUAL(::setrlimit(RLIMIT_FSIZE, &old), 0);
  std::signal(SIGXFSZ, handler);
  BOOST_CHECK_EQUAL(run.read("ledger.jsonl"), before);
  writer.step(step_row());
  BOOST_CHECK_EQUAL(run.read("ledger.jsonl"), before + before.substr(before.rfind("{\"type\"")));
}

BOOST_AUTO_TEST_CASE(this_host_knows_itself) {
  const HostFacts facts = this_host();
  BOOST_CHECK(!facts.hostname.empty());
  BOOST_CHECK_GT(facts.cores, 0);
  BOOST_CHECK_GT(facts.memory_bytes, 0);
}

BOOST_AUTO_TEST_CASE(python_reads_every_row) {
  if (std::system("python3 -c pass 2>/dev/null") != 0) {
    BOOST_TEST_MESSAGE("SKIPPED: no python3");
    return;
  }
  Folder run;
  {
    LedgerWriter writer(run.name());
    RunStart start;
    start.config = "seed: \"7\"\n";
    start.hosts = {{"node1", "a CPU", 4, 2, 2, 1 << 30, ""}};
    writer.run_start(start);
    writer.sensor(no_sensor(EnergySource::gpu, "no GPU used"));
    writer.step(step_row());
    EnergyRecord energy;
    energy.joules = 5;
    writer.energy(energy);
    writer.eval({{}, 10, 256, 1.5, {{"loss", 0.5}, {"accuracy", not_measured}}});
    writer.failed(0, 3, 1, "loss is \xFFnot finite");
    writer.checkpoint({0, 10, "block0.h5", "00ff", 100, 0.1});
    writer.resume({10, 20}, "");
    writer.run_end({});
    writer.sync();
  }
  const char* source = std::getenv("BLOCKTRAIN_TEST_SOURCE_DIR");
  const std::string script = std::string(source != nullptr ? source : ".") + "/tests/trainer/ledger/read_ledger.py";
  BOOST_REQUIRE_MESSAGE(std::filesystem::exists(script), script);
  BOOST_CHECK_EQUAL(std::system(("python3 '" + script + "' '" + run.name() + "/ledger.jsonl' 10").c_str()), 0);
}

BOOST_AUTO_TEST_SUITE_END()
