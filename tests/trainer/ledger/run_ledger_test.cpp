// The coordinator's ledger: order, replicas, energy, what is on the disk.
#include "trainer/ledger/run_ledger.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <set>

#include "kernels/error.hpp"
#include "tests/trainer/ledger/support.hpp"
#include "trainer/ledger/totals.hpp"

using namespace blocktrain;
using namespace blocktrain::trainer;
using namespace blocktrain::trainer::test;
using nlohmann::json;

namespace {

RunLedgerOptions options(const Folder& run, int blocks, int ranks, int first_step = 0) {
  RunLedgerOptions o;
  o.directory = run.name();
  o.first_step.assign(static_cast<std::size_t>(blocks), first_step);
  o.places.assign(static_cast<std::size_t>(ranks), RankPlace{});
  o.price_usd_per_kwh = 0.12;
  return o;
}

void no_sensors(RunLedger& ledger) {
  for (const auto source : {EnergySource::gpu, EnergySource::cpu, EnergySource::dram})
    ledger.add(no_sensor(source, "none here"));
}

void cpu_sensor(RunLedger& ledger) {
  ledger.add(no_sensor(EnergySource::gpu, "no GPU used"));
  ledger.add(SourceStatus{0, -1, EnergySource::cpu, true, "powercap", ""});
  ledger.add(no_sensor(EnergySource::dram, "no dram zone"));
}

EnergyRecord cpu_energy(double joules, std::int64_t begin, std::int64_t end) {
  EnergyRecord record;
  record.joules = joules;
  record.begin = begin;
  record.end = end;
  return record;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(run_ledger)

BOOST_AUTO_TEST_CASE(rows_come_in_step_order_whatever_the_order_of_the_ranks) {
  Folder run;
  RunLedger ledger(options(run, 2, 4));
  ledger.start({});
  no_sensors(ledger);
  // Two replicas per block; rank 0 is ahead of rank 1.
  const auto replica = [](int block, std::int64_t step, int index, double loss, std::int64_t samples) {
    StepRecord r = step_record(block, step, 2 * block + index);
    r.replica = index;
    r.replicas = 2;
    r.loss = loss;
    r.unweighted = loss / 4;
    r.samples = samples;
    r.tokens = samples * 16;
    r.seconds = 1 + index;
    r.memory_measured = 1000 + index;
    r.memory_device_runtime = index == 0 ? 600 : 500;
    r.memory_scope = index == 0 ? DeviceMemoryScope::board : DeviceMemoryScope::process;
    return r;
  };
  for (int s = 0; s < 3; ++s) ledger.add(replica(0, s, 0, 1, 30), 0);
  BOOST_CHECK_EQUAL(ledger.written_through(0), -1);
  ledger.add(replica(1, 0, 1, 5, 1), 0);
  ledger.add(replica(1, 0, 0, 5, 1), 0);
  BOOST_CHECK_EQUAL(ledger.written_through(1), 0);  // another block waits for nobody
  ledger.add(replica(0, 0, 1, 3, 10), 0);
  ledger.add(replica(0, 1, 1, 3, 10), 0);
  BOOST_CHECK_EQUAL(ledger.written_through(0), 1);
  const auto rows = steps_of(run.read("ledger.jsonl"));
  BOOST_REQUIRE_EQUAL(rows.size(), 3u);
  const json& row = rows[1];
  BOOST_CHECK_EQUAL(row["block"], 0);
  BOOST_CHECK_EQUAL(row["step"], 0);
  BOOST_CHECK_CLOSE(row["loss"].get<double>(), 1.5, 1e-12);
  BOOST_CHECK_CLOSE(row["unweighted"].get<double>(), 0.375, 1e-12);
  BOOST_CHECK_EQUAL(row["samples"], 40);
  BOOST_CHECK_EQUAL(row["tokens"], 640);
  BOOST_CHECK_EQUAL(row["seconds"], 2);
  BOOST_CHECK_EQUAL(row["bytes_sent"]["replica"], 16);
  BOOST_CHECK_EQUAL(row["memory"]["measured"], 1001);
  BOOST_CHECK_EQUAL(row["memory"]["device_runtime"], 600);
  BOOST_CHECK_EQUAL(row["memory"]["device_runtime_scope"], "board");
  BOOST_CHECK(row["ranks"] == json::array({0, 1}));
  BOOST_CHECK_EQUAL(rows[2]["step"], 1);
  ledger.finish({"finished", "", 5, 100, {}});
  const json end = rows_of(run.read("ledger.jsonl"), "run_end")[0];
  BOOST_CHECK_EQUAL(end["incomplete_steps"], 1);
  BOOST_CHECK(end.contains("communicator_bytes") && end["communicator_bytes"].is_null());
  BOOST_CHECK(end["steps"] == json::array({2, 1}));
  BOOST_CHECK_EQUAL(end["tokens"], 2 * 640 + 32);
}

BOOST_AUTO_TEST_CASE(a_replica_without_samples_has_no_part_in_the_losses) {
  Folder run;
  RunLedger ledger(options(run, 1, 2));
  no_sensors(ledger);
  for (int step = 0; step < 2; ++step) {
    for (int replica = 0; replica < 2; ++replica) {
      StepRecord record = step_record(0, step, replica);
      record.replicas = 2;
      record.replica = replica;
      if (replica == 1 || step == 1) {
        record.samples = record.tokens = 0;
        record.loss = record.unweighted = std::nan("");
      }
      ledger.add(record, 0);
    }
  }
  const auto rows = rows_of(run.read("ledger.jsonl"), "step");
  BOOST_REQUIRE_EQUAL(rows.size(), 2u);
  BOOST_CHECK_EQUAL(rows[0]["loss"].get<double>(), 1);
  BOOST_CHECK_EQUAL(rows[0]["unweighted"].get<double>(), 0.5);
  BOOST_CHECK(rows[1]["loss"].is_null());
  BOOST_CHECK(rows[1]["unweighted"].is_null());
}

BOOST_AUTO_TEST_CASE(a_single_rank_keeps_its_losses_as_they_came) {
  Folder run;
  RunLedger ledger(options(run, 1, 1));
  no_sensors(ledger);
  StepRecord record = step_record(0, 0);
  record.samples = 7;
  // On the edge between two seventh digits, where a product and a division tip it over.
  record.loss = 0.12345675;
  record.unweighted = 0.1f / 3.0f;
  ledger.add(record, 0);
  const json row = rows_of(run.read("ledger.jsonl"), "step")[0];
  BOOST_CHECK_EQUAL(row["loss"].get<double>(), as_in_step_row(record.loss));
  BOOST_CHECK_EQUAL(row["unweighted"].get<double>(), as_in_step_row(record.unweighted));
}

BOOST_AUTO_TEST_CASE(what_comes_twice_is_refused) {
  Folder run;
  RunLedger ledger(options(run, 1, 2));
  no_sensors(ledger);
  ledger.add(step_record(0, 0), 0);
  BOOST_CHECK_THROW(ledger.add(step_record(0, 0), 0), RunError);
  StepRecord half = step_record(0, 1);
  half.replicas = 2;
  ledger.add(half, 0);
  BOOST_CHECK_THROW(ledger.add(half, 0), RunError);
  BOOST_CHECK_THROW(ledger.add(step_record(1, 0), 0), RunError);  // no such block
}

BOOST_AUTO_TEST_CASE(durable_follows_written_at_a_sync) {
  Folder run;
  RunLedger ledger(options(run, 1, 1, 5));
  no_sensors(ledger);
  BOOST_CHECK_EQUAL(ledger.durable_through(0), 4);
  ledger.add(step_record(0, 5), 0);
  ledger.add(step_record(0, 7), 0);  // 6 is missing
  BOOST_CHECK_EQUAL(ledger.written_through(0), 5);
  BOOST_CHECK_EQUAL(ledger.durable_through(0), 4);
  ledger.sync();
  BOOST_CHECK_EQUAL(ledger.durable_through(0), 5);
  ledger.add(step_record(0, 6), 0);
  BOOST_CHECK_EQUAL(ledger.written_through(0), 7);
}

BOOST_AUTO_TEST_CASE(energy_of_rows_idle_and_the_rest_sum_to_the_measured) {
  Folder run;
  RunLedger ledger(options(run, 2, 2));
  ledger.start({});
  cpu_sensor(ledger);
  for (int s = 0; s < 50; ++s) {
    for (int b = 0; b < 2; ++b) ledger.add(step_record(b, s, b), 0);
  }
  for (int b = 0; b < 2; ++b) ledger.add(BusyMark{b, 0, 3'000'000'000, 0});
  ledger.add(cpu_energy(30, 900'000'000, 1'200'000'000));
  ledger.add(cpu_energy(11, 1'200'000'000, 1'700'000'000));
  ledger.finish({"finished", "", 1, 10, ByPurpose{0, 800, 10'000}});
  const std::string text = run.read("ledger.jsonl");
  double shares = 0;
  for (const json& row : steps_of(text)) {
    BOOST_CHECK_EQUAL(row["joules_estimated"], true);
    BOOST_CHECK(row["joules"]["gpu"].is_null());
    shares += row["joules"]["cpu"].get<double>();
  }
  const json end = rows_of(text, "run_end")[0];
  const double idle = end["joules"]["idle"]["cpu"], measured = end["joules"]["measured"]["cpu"];
  BOOST_CHECK_CLOSE(measured, 41.0, 1e-9);
  // What the rounding of the last steps' rows took is in no row.
  const double unattributed = end["joules"]["unattributed"]["cpu"];
  BOOST_CHECK_CLOSE(shares + idle + unattributed, measured, 1e-9);
  BOOST_CHECK_LE(unattributed, 2 * 0.5e-7);
  BOOST_CHECK_CLOSE(end["joules"]["attributed"]["cpu"].get<double>(), shares, 1e-9);
  BOOST_CHECK_CLOSE(idle, 10.0 + 11.0 * 200 / 500, 1e-9);
  BOOST_CHECK_EQUAL(end["communicator_bytes"]["control"], 10'000);
  double rows_measured = 0;
  for (const json& row : rows_of(text, "energy")) rows_measured += row["joules"].get<double>();
  BOOST_CHECK_CLOSE(rows_measured, measured, 1e-9);
  const LedgerTotals totals = read_totals(run.name() + "/ledger.jsonl");
  BOOST_CHECK_CLOSE(totals.kept_cost().joules[1], shares, 1e-9);
  BOOST_CHECK_EQUAL(totals.kept_cost().steps, 100);
  BOOST_CHECK_EQUAL(totals.status, "finished");
}

BOOST_AUTO_TEST_CASE(steps_evaluation_checkpoint_idle_and_the_rest_sum_to_the_measured) {
  Folder run;
  RunLedger ledger(options(run, 2, 2));
  ledger.start({});
  cpu_sensor(ledger);
  constexpr std::int64_t ms = 1'000'000, origin = 1'000 * ms;
  for (int rank = 0; rank < 2; ++rank) {
    LedgerPacket packet;  // of one rank: steps and other work mixed, of both ranks at the same time
    for (int s = 0; s < 20; ++s) {
      StepRecord step = step_record(rank, s, rank);
      step.busy_begin = origin + 30 * s * ms;
      step.busy_end = step.busy_begin + (s + 1 + rank) % 10 * ms;
      packet.steps.push_back(step);
      const auto purpose = s % 2 == rank ? BusyPurpose::evaluation : BusyPurpose::checkpoint;
      packet.work.push_back({rank, 0, purpose, {}, step.busy_end, step.busy_end + (5 + s % 7) * ms});
    }
    packet.marks.push_back({rank, 0, origin + 900 * ms, origin + 890 * ms});  // in something that never reports
    ledger.add(packet, 0);
  }
  ledger.add(cpu_energy(70, origin - 50 * ms, origin + 333 * ms));
  ledger.add(cpu_energy(41, origin + 333 * ms, origin + 900 * ms));
  ledger.finish({"finished", "", 1, 10, {}});
  const std::string text = run.read("ledger.jsonl");
  BOOST_CHECK_EQUAL(rows_of(text, "step").size(), 40u);
  const json joules = rows_of(text, "run_end")[0]["joules"];
  double sum = 0;
  for (const char* part : {"attributed", "evaluation", "checkpoint", "idle", "unattributed"}) {
    BOOST_CHECK_GT(joules[part]["cpu"].get<double>(), 0);
    BOOST_CHECK(joules[part]["gpu"].is_null());
    sum += joules[part]["cpu"].get<double>();
  }
  BOOST_CHECK_CLOSE(sum, 111.0, 1e-9);
  BOOST_CHECK_CLOSE(joules["measured"]["cpu"].get<double>(), 111.0, 1e-9);

  const LedgerTotals totals = read_totals(run.name() + "/ledger.jsonl");
  BOOST_CHECK_CLOSE(totals.evaluation[1], joules["evaluation"]["cpu"].get<double>(), 1e-9);
  BOOST_CHECK_CLOSE(totals.checkpoint[1], joules["checkpoint"]["cpu"].get<double>(), 1e-9);
  BOOST_CHECK_CLOSE(totals.idle[1], joules["idle"]["cpu"].get<double>(), 1e-9);
  BOOST_CHECK_CLOSE(totals.unattributed()[1], joules["unattributed"]["cpu"].get<double>(), 1e-6);
  BOOST_CHECK_CLOSE(totals.kept_cost().joules[1], joules["attributed"]["cpu"].get<double>(), 1e-9);
}

BOOST_AUTO_TEST_CASE(what_rounding_takes_from_a_row_the_next_one_has) {
  Folder run;
  RunLedger ledger(options(run, 2, 2));
  ledger.start({});
  cpu_sensor(ledger);
  constexpr int steps = 999;
  for (int s = 0; s < steps; ++s) {
    for (int b = 0; b < 2; ++b) ledger.add(step_record(b, s, b), 0);
  }
  for (int b = 0; b < 2; ++b) ledger.add(BusyMark{b, 0, 20'000'000'000, 0});
  // The steps of both follow each other without a gap: each has 1 / 1998 of 2000 J, which no decimal number is.
  ledger.add(cpu_energy(2000, 1'000'000'000, 1'000'000'000 + steps * 10'000'000LL));
  for (int b = 0; b < 2; ++b) {
    double sum = 0;
    std::set<double> values;
    for (const json& row : rows_of(run.read("ledger.jsonl"), "step")) {
      if (row["block"] != b) continue;
      sum += row["joules"]["cpu"].get<double>();
      values.insert(row["joules"]["cpu"].get<double>());
      BOOST_CHECK_LE(std::abs(row["joules"]["cpu"].get<double>() - 2000.0 / 1998), 1e-6 + 1e-12);
    }
    BOOST_CHECK_EQUAL(values.size(), 2u);  // rounded down, and up
    BOOST_CHECK_LE(std::abs(sum - 1000), 0.5e-6 + 1e-9);
  }
}

// A second measurement that is a little less or more would be a change row each time.
BOOST_AUTO_TEST_CASE(memory_besides_the_arenas_is_the_most_that_was_measured) {
  Folder run;
  RunLedger ledger(options(run, 1, 2));
  ledger.start({});
  no_sensors(ledger);
  const auto add = [&](std::int64_t step, std::int64_t host, std::int64_t device, DeviceMemoryScope scope, int rank) {
    StepRecord record = step_record(0, step, rank);
    record.memory_runtime = host;
    record.memory_device_runtime = device;
    record.memory_scope = scope;
    ledger.add(record, 0);
  };
  const auto process = DeviceMemoryScope::process, board = DeviceMemoryScope::board;
  add(0, 50, -1, DeviceMemoryScope::unknown, 0);
  add(1, 40, 8, process, 0);
  add(2, 60, 9, board, 0);
  add(3, 55, 7, process, 0);
  add(4, 30, 5, process, 1);  // the block is another rank's from here on
  const std::string text = run.read("ledger.jsonl");
  const auto rows = steps_of(text);
  const std::vector<json> expected{
      {50, nullptr, nullptr}, {50, 8, "process"}, {60, 9, "board"}, {60, 9, "board"}, {30, 5, "process"}};
  BOOST_REQUIRE_EQUAL(rows.size(), expected.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const json& memory = rows[i]["memory"];
    const json found{memory["runtime"], memory["device_runtime"], memory["device_runtime_scope"]};
    BOOST_CHECK_MESSAGE(found == expected[i], "step " << i << ": " << found);
  }
  BOOST_CHECK_EQUAL(rows_of(text, "change").size(), 4u);
}

BOOST_AUTO_TEST_CASE(work_between_steps_gets_its_share_when_the_energy_was_there_first) {
  Folder run;
  RunLedger ledger(options(run, 1, 1));
  ledger.start({});
  cpu_sensor(ledger);
  ledger.add(cpu_energy(10, 0, 100));
  ledger.add(cpu_energy(10, 100, 200));
  LedgerPacket packet;
  for (int s = 0; s < 2; ++s) {
    StepRecord step = step_record(0, s);
    step.busy_begin = s * 150;
    step.busy_end = s * 150 + 50;
    packet.steps.push_back(step);
  }
  packet.work.push_back({0, 0, BusyPurpose::checkpoint, {}, 50, 150});
  ledger.add(packet, 0);
  const EnergySums sums = ledger.energy();
  BOOST_CHECK_CLOSE(sums.attributed[1], 10.0, 1e-9);
  BOOST_CHECK_CLOSE(sums.checkpoint[1], 10.0, 1e-9);
  BOOST_CHECK_SMALL(sums.idle[1], 1e-9);
}

BOOST_AUTO_TEST_CASE(a_replica_without_joules_leaves_the_row_without) {
  Folder run;
  RunLedgerOptions o = options(run, 1, 2);
  o.places[1].host = 1;
  RunLedger ledger(o);
  ledger.start({});
  cpu_sensor(ledger);
  for (const auto source : {EnergySource::gpu, EnergySource::cpu, EnergySource::dram})
    ledger.add(no_sensor(source, "a cloud machine", 1));
  for (int rank = 0; rank < 2; ++rank) {
    StepRecord record = step_record(0, 0, rank);
    record.host = record.replica = rank;
    record.replicas = 2;
    ledger.add(record, 0);
  }
  ledger.add(BusyMark{0, 0, 2'000'000'000, 0});
  ledger.add(cpu_energy(10, 900'000'000, 1'100'000'000));
  const auto rows = steps_of(run.read("ledger.jsonl"));
  BOOST_REQUIRE_EQUAL(rows.size(), 1u);
  BOOST_CHECK(rows[0]["joules"]["cpu"].is_null());
  BOOST_CHECK_EQUAL(rows[0]["joules_reason"]["cpu"], "a cloud machine");
  BOOST_CHECK_EQUAL(rows[0]["joules_estimated"], false);
  const EnergySums sums = ledger.energy();
  BOOST_CHECK_CLOSE(sums.measured[1], sums.attributed[1] + sums.idle[1] + sums.unattributed[1], 1e-9);
  BOOST_CHECK_CLOSE(sums.unattributed[1], 0.5, 1e-9);
}

BOOST_AUTO_TEST_CASE(dollars_say_when_a_source_was_measured_in_part) {
  Folder run;
  RunLedgerOptions o = options(run, 1, 3);
  o.places = {{0, 0}, {0, 1}, {1, -1}};
  RunLedger ledger(o);
  ledger.add(no_sensor(EnergySource::gpu, "no GPU used", 1));
  EnergyRecord energy = cpu_energy(7.2, 0, 100);
  energy.source = EnergySource::gpu;
  energy.device = 0;
  ledger.add(energy);
  ledger.add(SourceStatus{0, 1, EnergySource::gpu, false, "nvml", "the board was lost"});
  ledger.add(cpu_energy(7.2, 0, 100));
  ledger.add(no_sensor(EnergySource::cpu, "the tree went away"));
  ledger.add(no_sensor(EnergySource::dram, "no dram zone"));
  ledger.finish({"finished", "", 1, 10, {}});
  const json end = rows_of(run.read("ledger.jsonl"), "run_end")[0];
  BOOST_CHECK_EQUAL(
      end["dollars_reason"],
      "does not include all of gpu: the board was lost; all of cpu: the tree went away; dram: no dram zone");
}

BOOST_AUTO_TEST_CASE(that_some_hosts_use_no_gpu_takes_nothing_from_the_dollars) {
  Folder run;
  RunLedgerOptions o = options(run, 1, 2);
  o.places = {{0, 0}, {1, -1}};
  RunLedger ledger(o);
  EnergyRecord energy = cpu_energy(7.2, 0, 100);
  energy.source = EnergySource::gpu;
  energy.device = 0;
  ledger.add(energy);
  ledger.add(no_sensor(EnergySource::gpu, "no GPU used", 1));
  ledger.add(no_sensor(EnergySource::dram, "no dram zone"));
  ledger.finish({"finished", "", 1, 10, {}});
  const json end = rows_of(run.read("ledger.jsonl"), "run_end")[0];
  BOOST_CHECK_EQUAL(end["dollars_reason"], "does not include cpu: not measured; dram: no dram zone");
}

BOOST_AUTO_TEST_CASE(packets_are_taken_as_bytes_and_garbage_is_refused) {
  Folder run;
  RunLedger ledger(options(run, 1, 1));
  LedgerPacket packet;
  packet.steps.push_back(step_record(0, 0));
  for (const auto source : {EnergySource::gpu, EnergySource::cpu, EnergySource::dram})
    packet.sources.push_back(no_sensor(source, "none"));
  std::vector<std::byte> bytes;
  encode(packet, bytes);
  ledger.receive(bytes, 0);
  BOOST_CHECK_EQUAL(ledger.written_through(0), 0);
  bytes.pop_back();
  BOOST_CHECK_THROW(ledger.receive(bytes, 0), RunError);
}

BOOST_AUTO_TEST_SUITE_END()
