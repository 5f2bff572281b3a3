// Packets: what goes in comes out, and no bytes whatever do harm.
#include "trainer/ledger/records.hpp"

#include <boost/test/unit_test.hpp>
#include <cstring>

#include "tests/trainer/ledger/support.hpp"

using namespace blocktrain::trainer;
using namespace blocktrain::trainer::test;

namespace {

LedgerPacket full_packet() {
  LedgerPacket packet;
  for (int i = 0; i < 3; ++i) packet.steps.push_back(step_record(i, 7 + i, i));
  packet.work.push_back({2, 0, BusyPurpose::checkpoint, {}, 30, 40});
  packet.marks.push_back({2, 0, 55, 44});
  EnergyRecord energy;
  energy.host = 1;
  energy.source = EnergySource::dram;
  energy.joules = 12.5;
  energy.begin = 10;
  energy.end = 20;
  energy.update_seconds = 0.1;
  energy.error_joules = 2;
  packet.energy.push_back(energy);
  packet.sources.push_back({1, -1, EnergySource::gpu, false, "none", "no GPU used"});
  packet.sources.push_back({1, -1, EnergySource::cpu, true, "powercap", ""});
  packet.sources.push_back({1, 0, EnergySource::gpu, true, "nvml", "", 0.1, "idle"});
  return packet;
}

std::vector<std::byte> encoded(const LedgerPacket& packet) {
  std::vector<std::byte> bytes;
  encode(packet, bytes);
  return bytes;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(ledger_records)

BOOST_AUTO_TEST_CASE(a_packet_comes_out_as_it_went_in) {
  const LedgerPacket in = full_packet();
  LedgerPacket out;
  BOOST_REQUIRE_EQUAL(decode(encoded(in), out), "");
  BOOST_REQUIRE_EQUAL(out.steps.size(), 3u);
  BOOST_CHECK(std::memcmp(in.steps.data(), out.steps.data(), 3 * sizeof(StepRecord)) == 0);
  BOOST_REQUIRE_EQUAL(out.work.size(), 1u);
  BOOST_CHECK(std::memcmp(in.work.data(), out.work.data(), sizeof(WorkRecord)) == 0);
  BOOST_REQUIRE_EQUAL(out.marks.size(), 1u);
  BOOST_CHECK_EQUAL(out.marks[0].busy_since, 44);
  BOOST_REQUIRE_EQUAL(out.energy.size(), 1u);
  BOOST_CHECK(out.energy[0].source == EnergySource::dram);
  BOOST_CHECK_EQUAL(out.energy[0].joules, 12.5);
  BOOST_CHECK_EQUAL(out.energy[0].update_seconds, 0.1);
  BOOST_CHECK_EQUAL(out.energy[0].error_joules, 2);
  BOOST_REQUIRE_EQUAL(out.sources.size(), 3u);
  BOOST_CHECK_EQUAL(out.sources[0].reason, "no GPU used");
  BOOST_CHECK(out.sources[1].available);
  BOOST_CHECK_EQUAL(out.sources[1].sensor, "powercap");
  BOOST_CHECK_EQUAL(out.sources[1].update_seconds, -1);
  BOOST_CHECK_EQUAL(out.sources[2].update_seconds, 0.1);
  BOOST_CHECK_EQUAL(out.sources[2].update_reason, "idle");
}

BOOST_AUTO_TEST_CASE(an_empty_packet_is_a_packet) {
  LedgerPacket out = full_packet();
  BOOST_CHECK_EQUAL(decode(encoded({}), out), "");
  BOOST_CHECK(out.empty());
}

BOOST_AUTO_TEST_CASE(every_shorter_and_longer_packet_is_refused) {
  std::vector<std::byte> bytes = encoded(full_packet());
  LedgerPacket out;
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    BOOST_CHECK_NE(decode({bytes.data(), size}, out), "");
    BOOST_CHECK(out.empty());
  }
  bytes.push_back(std::byte{0});
  BOOST_CHECK_NE(decode(bytes, out), "");
}

BOOST_AUTO_TEST_CASE(another_version_is_named) {
  std::vector<std::byte> bytes = encoded(full_packet());
  bytes[4] = std::byte{9};
  LedgerPacket out;
  const std::string wrong = decode(bytes, out);
  BOOST_CHECK_NE(wrong.find("version 9"), std::string::npos);
}

BOOST_AUTO_TEST_CASE(impossible_values_are_refused) {
  const auto refused = [](auto change) {
    LedgerPacket packet = full_packet(), out;
    change(packet);
    return !decode(encoded(packet), out).empty() && out.empty();
  };
  BOOST_CHECK(!refused([](LedgerPacket&) {}));
  BOOST_CHECK(refused([](LedgerPacket& p) { p.steps[1].block = -1; }));
  BOOST_CHECK(refused([](LedgerPacket& p) { p.steps[1].replica = 1; }));
  BOOST_CHECK(refused([](LedgerPacket& p) { p.steps[1].replicas = 0; }));
  BOOST_CHECK(refused([](LedgerPacket& p) { p.steps[1].replicas = 1 << 30; }));
  BOOST_CHECK(refused([](LedgerPacket& p) { p.steps[1].tokens = -1; }));
  BOOST_CHECK(refused([](LedgerPacket& p) { p.steps[1].busy_end = p.steps[1].busy_begin - 1; }));
  BOOST_CHECK(refused([](LedgerPacket& p) { p.steps[1].memory_scope = static_cast<DeviceMemoryScope>(3); }));
  BOOST_CHECK(refused([](LedgerPacket& p) { p.steps[1].memory_scope = static_cast<DeviceMemoryScope>(-1); }));
  BOOST_CHECK(refused([](LedgerPacket& p) { p.work[0].rank = -5; }));
  BOOST_CHECK(refused([](LedgerPacket& p) { p.work[0].purpose = BusyPurpose::step; }));
  BOOST_CHECK(refused([](LedgerPacket& p) { p.work[0].purpose = static_cast<BusyPurpose>(3); }));
  BOOST_CHECK(refused([](LedgerPacket& p) { p.work[0].busy_end = p.work[0].busy_begin - 1; }));
  BOOST_CHECK(refused([](LedgerPacket& p) { p.marks[0].rank = -5; }));
  BOOST_CHECK(refused([](LedgerPacket& p) { p.energy[0].joules = -1; }));
  BOOST_CHECK(refused([](LedgerPacket& p) { p.energy[0].joules = std::numeric_limits<double>::infinity(); }));
  BOOST_CHECK(refused([](LedgerPacket& p) { p.energy[0].source = static_cast<EnergySource>(3); }));
  BOOST_CHECK(refused([](LedgerPacket& p) { p.energy[0].update_seconds = -2; }));
  BOOST_CHECK(refused([](LedgerPacket& p) { p.energy[0].error_joules = std::numeric_limits<double>::quiet_NaN(); }));
  BOOST_CHECK(refused([](LedgerPacket& p) { p.sources[0].update_seconds = -0.5; }));
  BOOST_CHECK(refused([](LedgerPacket& p) { p.sources[0].source = static_cast<EnergySource>(200); }));
}

BOOST_AUTO_TEST_CASE(the_largest_values_are_taken_and_the_next_ones_refused) {
  constexpr std::int32_t index = 1 << 24;
  constexpr std::int64_t count = std::int64_t{1} << 53;
  const auto taken = [](auto change) {
    LedgerPacket packet = full_packet(), out;
    change(packet);
    return decode(encoded(packet), out).empty();
  };
  BOOST_CHECK(taken([](LedgerPacket& p) { p.steps[1].block = index - 1; }));
  BOOST_CHECK(!taken([](LedgerPacket& p) { p.steps[1].block = index; }));
  BOOST_CHECK(taken([](LedgerPacket& p) { p.energy[0].device = index - 1; }));
  BOOST_CHECK(!taken([](LedgerPacket& p) { p.energy[0].device = index; }));
  BOOST_CHECK(taken([](LedgerPacket& p) { p.steps[1].tokens = count - 1; }));
  BOOST_CHECK(!taken([](LedgerPacket& p) { p.steps[1].tokens = count; }));
}

BOOST_AUTO_TEST_CASE(a_packet_with_one_kind_of_record_is_not_empty) {
  const LedgerPacket full = full_packet();
  LedgerPacket steps, work, marks, energy, sources;
  BOOST_CHECK(steps.empty());
  steps.steps = full.steps;
  work.work = full.work;
  marks.marks = full.marks;
  energy.energy = full.energy;
  sources.sources = full.sources;
  for (const LedgerPacket* packet : {&steps, &work, &marks, &energy, &sources}) BOOST_CHECK(!packet->empty());
}

BOOST_AUTO_TEST_CASE(random_damage_never_gets_past_the_checks_unharmed) {
  const std::vector<std::byte> sound = encoded(full_packet());
  Dice dice(11);
  LedgerPacket out;
  int refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::vector<std::byte> bytes = sound;
    for (std::int64_t flips = 1 + dice.below(4); flips > 0; --flips) {
      bytes[static_cast<std::size_t>(dice.below(static_cast<std::int64_t>(bytes.size())))] =
          static_cast<std::byte>(dice.word() & 0xff);
    }
    if (!decode(bytes, out).empty()) {
      ++refused;
      continue;
    }
    for (const StepRecord& r : out.steps) BOOST_REQUIRE(r.block >= 0 && r.replica < r.replicas && r.tokens >= 0);
    for (const EnergyRecord& e : out.energy) BOOST_REQUIRE(e.joules >= 0 && e.begin <= e.end);
  }
  BOOST_CHECK_GT(refused, 1000);
}

BOOST_AUTO_TEST_SUITE_END()
