// NVML of this machine, where it has a driver and a GPU that counts; elsewhere skipped.
#include <boost/test/unit_test.hpp>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "trainer/ledger/energy/nvml_sensor.hpp"

using namespace blocktrain::trainer;

namespace {

/// Ends the whole binary with the exit code that ctest shows as skipped.
[[noreturn]] void skip(const std::string& reason) {
  std::printf("SKIPPED: %s\n", reason.c_str());
  std::fflush(stdout);
  std::_Exit(77);
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_counter_of_a_real_board_counts) {
  std::string reason;
  const auto session = NvmlSession::open(load_nvml(), reason);
  if (session == nullptr) skip(reason);
  std::string uuid;
  for (const NvmlBoard& board : session->boards()) {
    if (board.has_counter && uuid.empty()) uuid = board.uuid;
  }
  if (uuid.empty()) skip("no GPU of this machine has an energy counter");
  BOOST_CHECK(!session->driver_version().empty());

  NvmlSensor sensor(session, {0, uuid});
  const std::int64_t begin = monotonic_ns();
  const EnergyReading first = sensor.read(begin);
  BOOST_REQUIRE_MESSAGE(first.joules, first.reason);
  std::this_thread::sleep_for(std::chrono::seconds(3));
  const std::int64_t end = monotonic_ns();
  const EnergyReading last = sensor.read(end);
  BOOST_REQUIRE_MESSAGE(last.joules, last.reason);
  const double watts = (*last.joules - *first.joules) / (static_cast<double>(end - begin) * 1e-9);
  BOOST_TEST_MESSAGE(uuid << ": " << watts << " W, period " << sensor.update_period().seconds << " s "
                          << sensor.update_period().reason << ", lag " << last.lag_joules << " J");
  BOOST_CHECK_GE(watts, 0);
  BOOST_CHECK_LT(watts, 2500);
}
