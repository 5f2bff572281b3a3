// Joules of a GPU board from NVML's counter: which board, what it may not say, and what counters do.
#include "trainer/ledger/energy/nvml_sensor.hpp"

#include <boost/test/unit_test.hpp>

#include "tests/trainer/ledger/fake_nvml.hpp"
#include "trainer/ledger/energy/host_sampler.hpp"
#include "trainer/ledger/energy/host_sensors.hpp"

using namespace blocktrain::trainer;
using namespace blocktrain::trainer::test;

namespace {

constexpr std::int64_t ms = 1'000'000, second = 1'000'000'000;
constexpr std::uint64_t wrap = std::uint64_t{1} << 32;

bool contains(const std::string& text, const std::string& part) {
  const bool found = text.find(part) != std::string::npos;
  if (!found) BOOST_TEST_MESSAGE("not in: " << text);
  return found;
}

FakeBoard board(const std::string& uuid, std::function<std::uint64_t(std::int64_t)> counter) {
  FakeBoard b;
  b.uuid = uuid;
  b.name = "Fake H100";
  b.counter = std::move(counter);
  return b;
}

/// A sensor whose counter the test sets by hand once it stands.
struct ByHand {
  FakeNvml nvml;
  std::uint64_t value;
  std::unique_ptr<NvmlSensor> sensor;

  explicit ByHand(std::uint64_t first, int limit_milliwatts = -1) : value(first) {
    nvml.boards.push_back(board("GPU-a", [this](std::int64_t) { return value; }));
    nvml.boards[0].limit_milliwatts = limit_milliwatts;
    sensor = std::make_unique<NvmlSensor>(nvml.session(), GpuInUse{0, "GPU-a"}, nvml.clock());
  }
  EnergyReading after(std::int64_t nanoseconds, std::uint64_t next) {
    nvml.now += nanoseconds;
    value = next;
    return sensor->read(nvml.now);
  }
};

std::string reason_of(FakeNvml& nvml, const std::string& uuid) {
  NvmlSensor sensor(nvml.session(), {0, uuid}, nvml.clock());
  const EnergyReading reading = sensor.read(nvml.now);
  BOOST_CHECK(!reading.joules);
  BOOST_CHECK(!sensor.read(nvml.now + second).joules);  // and never again
  return reading.reason;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(nvml_sensor)

BOOST_AUTO_TEST_CASE(joules_are_those_of_the_board_with_the_uuid) {
  FakeNvml nvml;
  nvml.boards.push_back(board("GPU-a", steady(5000, 100, 20 * ms)));
  nvml.boards.push_back(board("GPU-b", steady(9'000'000, 400, 20 * ms)));
  NvmlSensor sensor(nvml.session(), {7, "GPU-b"}, nvml.clock());
  BOOST_CHECK_EQUAL(sensor.name(), "nvml");
  BOOST_CHECK_EQUAL(sensor.device(), 7);
  BOOST_CHECK(sensor.source() == EnergySource::gpu);
  nvml.now = 20 * second;
  const double before = sensor.read(nvml.now).joules.value();
  nvml.now = 23 * second;
  BOOST_CHECK_CLOSE(sensor.read(nvml.now).joules.value() - before, 1200.0, 1e-9);
}

BOOST_AUTO_TEST_CASE(a_board_without_the_counter_says_so) {
  FakeNvml nvml;
  nvml.boards.push_back(board("GPU-a", steady(1, 1, ms)));
  nvml.boards[0].energy_code = nvml_not_supported;
  const std::string reason = reason_of(nvml, "GPU-a");
  BOOST_CHECK(contains(reason, "Fake H100 (GPU-a) has no counter"));
  BOOST_CHECK(contains(reason, "Volta"));
  nvml.boards[0].energy_code = 4242;
  BOOST_CHECK(contains(reason_of(nvml, "GPU-a"), "NVML error 4242"));  // without words of NVML's own
}

BOOST_AUTO_TEST_CASE(a_counter_that_stands_at_0_does_not_count) {
  FakeNvml nvml;
  nvml.boards.push_back(board("GPU-a", [](std::int64_t) { return 0; }));
  BOOST_CHECK(contains(reason_of(nvml, "GPU-a"), "stands at 0"));
}

BOOST_AUTO_TEST_CASE(boards_that_are_not_there_and_mig_instances_say_so) {
  FakeNvml nvml;
  nvml.boards.push_back(board("GPU-a", steady(1, 1, ms)));
  BOOST_CHECK(contains(reason_of(nvml, "GPU-b"), "no GPU with the UUID GPU-b: Not Found"));
  BOOST_CHECK(contains(reason_of(nvml, "MIG-c"), "whole boards only"));
  nvml.handle_code = nvml_invalid_argument;
  BOOST_CHECK(contains(reason_of(nvml, "GPU-a"), "no GPU with the UUID GPU-a"));
  nvml.handle_code = 15;
  BOOST_CHECK(contains(reason_of(nvml, "GPU-a"), "the energy counter of GPU-a cannot be read: GPU is lost"));
}

BOOST_AUTO_TEST_CASE(a_board_that_is_lost_while_it_is_watched_says_so) {
  FakeNvml nvml;
  nvml.boards.push_back(board("GPU-a", [&nvml](std::int64_t now) {
    if (nvml.reads > 10) nvml.boards[0].energy_code = 15;
    return static_cast<std::uint64_t>(now / ms);
  }));
  BOOST_CHECK(contains(reason_of(nvml, "GPU-a"), "GPU is lost"));
}

BOOST_AUTO_TEST_CASE(a_library_without_power_functions_does) {
  FakeNvml nvml;
  nvml.boards.push_back(board("GPU-a", steady(1000, 300, 20 * ms)));
  NvmlLibrary library = nvml.library();
  library.api->power_usage = nullptr;
  library.api->field_values = nullptr;
  library.api->power_limit = nullptr;
  std::string reason;
  NvmlSensor sensor(NvmlSession::open(library, reason), {0, "GPU-a"}, nvml.clock());
  nvml.now += 10 * second;
  const EnergyReading reading = sensor.read(nvml.now);
  BOOST_CHECK(reading.joules);
  BOOST_CHECK_CLOSE(reading.lag_joules, 6.0, 6.0);
}

BOOST_AUTO_TEST_CASE(a_board_that_is_lost_ends_the_readings) {
  FakeNvml nvml;
  nvml.boards.push_back(board("GPU-a", steady(1000, 100, 20 * ms)));
  NvmlSensor sensor(nvml.session(), {0, "GPU-a"}, nvml.clock());
  BOOST_CHECK(sensor.read(nvml.now).joules);
  nvml.boards[0].energy_code = 15;
  BOOST_CHECK(contains(sensor.read(nvml.now += second).reason, "GPU is lost"));
  nvml.boards[0].energy_code = nvml_success;
  BOOST_CHECK(contains(sensor.read(nvml.now += second).reason, "GPU is lost"));  // a hole would go unnoticed
}

BOOST_AUTO_TEST_CASE(a_reset_driver_ends_the_readings) {
  ByHand hand(50'000'000);
  BOOST_CHECK(hand.after(second, 50'300'000).joules);
  BOOST_CHECK(contains(hand.after(second, 120).reason, "set back from 50300 J to 0 J"));
  BOOST_CHECK(!hand.after(second, 60'000'000).joules);
}

BOOST_AUTO_TEST_CASE(a_counter_of_32_bits_wraps) {
  ByHand hand(wrap - 900'000);
  const double before = hand.after(second, wrap - 500'000).joules.value();
  BOOST_CHECK_CLOSE(hand.after(second, 100'000).joules.value() - before, 600.0, 1e-9);
  BOOST_CHECK_CLOSE(hand.after(second, 400'000).joules.value() - before, 900.0, 1e-9);
}

BOOST_AUTO_TEST_CASE(what_would_take_too_much_power_for_a_wrap_is_a_reset) {
  const auto after_4_seconds = [](std::uint64_t first, std::uint64_t next, int limit_milliwatts = -1) {
    ByHand hand(first, limit_milliwatts);
    return hand.after(4 * second, next);
  };
  // 2 kW for 4 s, the half second of the watch before, and the slack of one more: 11 kJ.
  BOOST_CHECK(after_4_seconds(wrap - 9'000'000, 1'999'000).joules);
  BOOST_CHECK(contains(after_4_seconds(wrap - 9'000'000, 2'002'000).reason, "set back"));
  BOOST_CHECK(contains(after_4_seconds(wrap - 11'000'000, 5).reason, "set back"));
  BOOST_CHECK(after_4_seconds(wrap - 11'000'000, 5, 3'000'000).joules);  // a board that may draw 3 kW
  // It has counted past 32 bits, so it cannot wrap there.
  BOOST_CHECK(contains(after_4_seconds(wrap + 500'000, 600'000).reason, "set back"));
}

BOOST_AUTO_TEST_CASE(a_counter_that_leaps_ends_the_readings) {
  ByHand hand(1'000);
  BOOST_CHECK(hand.after(second, 3'500'000).joules);
  BOOST_CHECK(contains(hand.after(second, 9'500'000).reason, "leapt by 6000 J"));
}

BOOST_AUTO_TEST_CASE(the_lag_is_a_period_at_the_power_of_the_moment) {
  FakeNvml nvml;
  nvml.boards.push_back(board("GPU-a", steady(1000, 300, 100 * ms)));
  NvmlSensor sensor(nvml.session(), {0, "GPU-a"}, nvml.clock());
  BOOST_CHECK_CLOSE(sensor.update_period().seconds, 0.1, 1e-6);
  BOOST_CHECK_CLOSE(sensor.read(nvml.now).lag_joules, 30.0, 25.0);  // of the watch's half second
  nvml.now += 10 * second;
  BOOST_CHECK_CLOSE(sensor.read(nvml.now).lag_joules, 30.0, 2.0);
  nvml.boards[0].instant_milliwatts = 650'000;  // it began to work hard a moment ago
  nvml.boards[0].power_milliwatts = 300'000;    // which the mean of the last second does not show yet
  BOOST_CHECK_CLOSE(sensor.read(nvml.now += second).lag_joules, 65.0, 1e-6);
  for (const unsigned type : {nvml_type_unsigned_long, nvml_type_unsigned_long_long}) {
    nvml.boards[0].instant_type = type;
    BOOST_CHECK_CLOSE(sensor.read(nvml.now += second).lag_joules, 65.0, 1e-6);
  }
  nvml.boards[0].instant_milliwatts = 50'000;  // a bound takes the larger of the two
  BOOST_CHECK_CLOSE(sensor.read(nvml.now += second).lag_joules, 30.0, 2.0);
}

BOOST_AUTO_TEST_CASE(a_mean_of_a_second_bounds_the_lag_by_that_second) {
  FakeNvml nvml;
  nvml.boards.push_back(board("GPU-a", steady(1000, 300, 100 * ms)));
  NvmlSensor sensor(nvml.session(), {0, "GPU-a"}, nvml.clock());
  nvml.now += 10 * second;
  nvml.boards[0].power_milliwatts = 90'000;  // as of 90 J in the last tenth of the second
  BOOST_CHECK_CLOSE(sensor.read(nvml.now).lag_joules, 90.0, 1e-6);
  nvml.boards[0].power_milliwatts = 10'000;  // less than the counter's own mean leaves
  BOOST_CHECK_CLOSE(sensor.read(nvml.now += second).lag_joules, 30.0, 2.0);
  nvml.boards[0].power_milliwatts = 650'000;  // more than the board can draw in a period: 2 kW for 0.1 s
  BOOST_CHECK_CLOSE(sensor.read(nvml.now += second).lag_joules, 200.0, 1e-6);
  // A field that says nothing, or of a type that power never had, is as good as none.
  for (const auto& [milliwatts, type] : {std::pair(0, nvml_type_unsigned), {70'000, 0u}}) {
    nvml.boards[0].instant_milliwatts = milliwatts;
    nvml.boards[0].instant_type = type;
    BOOST_CHECK_CLOSE(sensor.read(nvml.now += second).lag_joules, 200.0, 1e-6);
  }
  nvml.boards[0].instant_type = nvml_type_unsigned;
  BOOST_CHECK_CLOSE(sensor.read(nvml.now += second).lag_joules, 30.0, 2.0);  // 70 W: the mean of the counter is more
}

BOOST_AUTO_TEST_CASE(readings_that_follow_each_other_closely_do_not_make_up_a_power) {
  FakeNvml nvml;
  nvml.boards.push_back(board("GPU-a", steady(1000, 300, 100 * ms)));
  NvmlSensor sensor(nvml.session(), {0, "GPU-a"}, nvml.clock());
  nvml.now += 10 * second;
  sensor.read(nvml.now);
  for (int i = 0; i < 300; ++i) {
    BOOST_REQUIRE_CLOSE(sensor.read(nvml.now += ms).lag_joules, 30.0, 26.0);
  }
}

BOOST_AUTO_TEST_CASE(an_idle_board_has_no_known_period) {
  ByHand hand(77'000);
  BOOST_CHECK_EQUAL(hand.sensor->update_period().seconds, -1);
  BOOST_CHECK(contains(hand.sensor->update_period().reason, "did not move"));
  const EnergyReading reading = hand.after(second, 77'400);
  BOOST_CHECK(reading.joules);
  BOOST_CHECK_EQUAL(reading.lag_joules, -1);
}

BOOST_AUTO_TEST_CASE(intervals_carry_what_they_may_be_off_by) {
  FakeNvml nvml;
  nvml.boards.push_back(board("GPU-a", steady(1000, 300, 100 * ms)));
  std::uint64_t still = 500;
  nvml.boards.push_back(board("GPU-b", [&still](std::int64_t) { return still; }));
  std::vector<std::unique_ptr<EnergySensor>> sensors;
  for (const int i : {0, 1}) {
    const GpuInUse gpu{i, i == 0 ? "GPU-a" : "GPU-b"};
    sensors.push_back(std::make_unique<NvmlSensor>(nvml.session(), gpu, nvml.clock()));
  }
  std::vector<EnergyRecord> energy;
  std::vector<SourceStatus> status;
  EnergyCollector collector(
      std::move(sensors), 0,
      {[&](const EnergyRecord& r) { energy.push_back(r); }, [&](const SourceStatus& s) { status.push_back(s); }});
  collector.begin(nvml.now += 5 * second);
  collector.sample(nvml.now += 5 * second, true);
  BOOST_REQUIRE_EQUAL(status.size(), 2u);
  BOOST_CHECK(status[0].available && status[1].available);
  BOOST_CHECK_CLOSE(status[0].update_seconds, 0.1, 1e-6);
  BOOST_CHECK_EQUAL(status[0].update_reason, "");
  BOOST_CHECK_EQUAL(status[1].update_seconds, -1);
  BOOST_CHECK(contains(status[1].update_reason, "did not move"));
  BOOST_REQUIRE_EQUAL(energy.size(), 2u);
  BOOST_CHECK_CLOSE(energy[0].joules, 1500.0, 1e-9);
  BOOST_CHECK_CLOSE(energy[0].update_seconds, 0.1, 1e-6);
  BOOST_CHECK_CLOSE(energy[0].error_joules, 60.0, 3.0);  // 30 J at each end
  BOOST_CHECK_EQUAL(energy[1].device, 1);
  BOOST_CHECK_EQUAL(energy[1].update_seconds, -1);
  BOOST_CHECK_EQUAL(energy[1].error_joules, -1);
}

BOOST_AUTO_TEST_CASE(a_rank_reads_the_boards_it_owns_or_says_why_not) {
  FakeNvml nvml;
  nvml.boards.push_back(board("GPU-a", steady(1000, 300, ms)));
  const std::vector<GpuInUse> gpus{{0, "GPU-a"}, {1, "GPU-x"}, {2, "GPU-y", "counted on another host"}};
  const auto sensors = gpu_sensors(gpus, nvml.library());
  BOOST_REQUIRE_EQUAL(sensors.size(), 3u);
  for (int i = 0; i < 3; ++i) BOOST_CHECK_EQUAL(sensors[static_cast<std::size_t>(i)]->device(), i);
  BOOST_CHECK(contains(sensors[1]->read(1).reason, "GPU-x"));
  BOOST_CHECK_EQUAL(sensors[2]->read(1).reason, "counted on another host");
  const auto without = gpu_sensors(gpus, {std::nullopt, "no driver"});
  BOOST_REQUIRE_EQUAL(without.size(), 3u);
  BOOST_CHECK_EQUAL(without[0]->read(1).reason, "no driver");
  BOOST_CHECK_EQUAL(without[0]->device(), 0);
  BOOST_CHECK_EQUAL(without[2]->read(1).reason, "counted on another host");
}

BOOST_AUTO_TEST_CASE(the_owner_of_a_host_reads_its_boards_and_its_cpus) {
  // On a machine with and on one without a driver: there is no such board.
  const auto sensors = host_sensors("/nowhere", {{3, "GPU-nobody-has-this"}});
  BOOST_REQUIRE_EQUAL(sensors.size(), 3u);
  BOOST_CHECK(sensors[0]->source() == EnergySource::gpu);
  BOOST_CHECK_EQUAL(sensors[0]->device(), 3);
  BOOST_CHECK_NE(sensors[0]->read(1).reason, "");
  BOOST_CHECK_NE(sensors[0]->read(1).reason, "no GPU used");
  BOOST_CHECK(sensors[1]->source() == EnergySource::cpu);
  BOOST_CHECK(sensors[2]->source() == EnergySource::dram);
  BOOST_CHECK(gpu_sensors({}).empty());
}

BOOST_AUTO_TEST_SUITE_END()
