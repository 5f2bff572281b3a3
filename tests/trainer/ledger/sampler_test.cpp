// From counters to intervals.
#include <boost/test/unit_test.hpp>
#include <mutex>
#include <thread>

#include "kernels/error.hpp"
#include "trainer/ledger/energy/host_sampler.hpp"

using namespace blocktrain::trainer;

namespace {

/// Counts `joules_per_reading` at each reading, up to `readings`.
class CountingSensor final : public EnergySensor {
 public:
  CountingSensor(EnergySource source, double joules_per_reading, int readings)
      : source_(source), step_(joules_per_reading), left_(readings) {}
  std::string name() const override { return "counting"; }
  EnergySource source() const override { return source_; }
  EnergyReading read(std::int64_t) override {
    if (left_-- <= 0) return {std::nullopt, "used up"};
    return {sum_ += step_, {}};
  }

 private:
  EnergySource source_;
  double step_, sum_ = 100;
  int left_;
};

struct Heard {
  std::vector<EnergyRecord> energy;
  std::vector<SourceStatus> status;
  std::mutex mutex;
  EnergyListener listener() {
    return {[this](const EnergyRecord& record) {
              const std::lock_guard lock(mutex);
              energy.push_back(record);
            },
            [this](const SourceStatus& s) {
              const std::lock_guard lock(mutex);
              status.push_back(s);
            }};
  }
  std::size_t count() {
    const std::lock_guard lock(mutex);
    return energy.size();
  }
};

std::vector<std::unique_ptr<EnergySensor>> sensors(int readings) {
  std::vector<std::unique_ptr<EnergySensor>> all;
  all.push_back(std::make_unique<AbsentSensor>(EnergySource::gpu, "no GPU used"));
  all.push_back(std::make_unique<CountingSensor>(EnergySource::cpu, 5, readings));
  return all;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(energy_sampler)

BOOST_AUTO_TEST_CASE(intervals_follow_each_other_and_hold_the_differences) {
  Heard heard;
  EnergyCollector collector(sensors(100), 3, heard.listener());
  collector.begin(1000);
  BOOST_REQUIRE_EQUAL(heard.status.size(), 2u);
  BOOST_CHECK(!heard.status[0].available);
  BOOST_CHECK_EQUAL(heard.status[0].reason, "no GPU used");
  BOOST_CHECK(heard.status[1].available);
  BOOST_CHECK_EQUAL(heard.status[1].host, 3);
  BOOST_CHECK(heard.energy.empty());
  collector.sample(2000, true);
  collector.sample(3000, false);  // read against a wrap, not reported
  collector.sample(4000, true);
  BOOST_REQUIRE_EQUAL(heard.energy.size(), 2u);
  BOOST_CHECK_EQUAL(heard.energy[0].joules, 5);
  BOOST_CHECK_EQUAL(heard.energy[0].begin, 1000);
  BOOST_CHECK_EQUAL(heard.energy[0].end, 2000);
  BOOST_CHECK_EQUAL(heard.energy[1].joules, 10);
  BOOST_CHECK_EQUAL(heard.energy[1].begin, 2000);
  BOOST_CHECK_EQUAL(heard.energy[1].end, 4000);
  BOOST_CHECK_EQUAL(heard.energy[1].host, 3);
}

BOOST_AUTO_TEST_CASE(a_sensor_that_fails_keeps_what_it_measured_and_gives_its_reason) {
  Heard heard;
  EnergyCollector collector(sensors(3), 0, heard.listener());
  collector.begin(1000);
  collector.sample(2000, true);
  collector.sample(3000, false);
  collector.sample(4000, true);  // fails
  collector.sample(5000, true);
  BOOST_REQUIRE_EQUAL(heard.energy.size(), 2u);
  BOOST_CHECK_EQUAL(heard.energy[1].begin, 2000);
  BOOST_CHECK_EQUAL(heard.energy[1].end, 3000);
  BOOST_CHECK_EQUAL(heard.energy[1].joules, 5);
  BOOST_REQUIRE_EQUAL(heard.status.size(), 3u);
  BOOST_CHECK(!heard.status[2].available);
  BOOST_CHECK_EQUAL(heard.status[2].reason, "used up");
}

BOOST_AUTO_TEST_CASE(the_thread_samples_by_itself_and_once_more_at_the_end) {
  Heard heard;
  const std::int64_t before = monotonic_ns();
  HostEnergySampler sampler(sensors(1'000'000), 0, 0.01, heard.listener());
  BOOST_CHECK_EQUAL(heard.status.size(), 2u);  // known before the first step
  while (heard.count() < 3) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const std::int64_t step_end = monotonic_ns();
  sampler.stop();
  sampler.stop();
  BOOST_CHECK_GE(heard.energy.back().end, step_end);
  BOOST_CHECK_GE(heard.energy.front().begin, before);
  for (std::size_t i = 1; i < heard.energy.size(); ++i) {
    BOOST_CHECK_EQUAL(heard.energy[i].begin, heard.energy[i - 1].end);
    BOOST_CHECK_EQUAL(heard.energy[i].joules, 5);
  }
}

BOOST_AUTO_TEST_CASE(a_long_interval_does_not_delay_the_end) {
  Heard heard;
  { HostEnergySampler sampler(sensors(1'000'000), 0, 3600, heard.listener()); }
  BOOST_REQUIRE_EQUAL(heard.energy.size(), 1u);  // the test itself ends in time, or runs into its limit
}

BOOST_AUTO_TEST_CASE(intervals_that_make_no_sense_are_refused) {
  Heard heard;
  for (const double seconds : {0.0, -1.0, 1e9, std::numeric_limits<double>::quiet_NaN()}) {
    BOOST_CHECK_THROW(HostEnergySampler(sensors(5), 0, seconds, heard.listener()), blocktrain::InputError);
  }
}

BOOST_AUTO_TEST_SUITE_END()
