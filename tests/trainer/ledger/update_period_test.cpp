// How often a counter moves, by a clock of the test's own.
#include "trainer/ledger/energy/update_period.hpp"

#include <boost/test/unit_test.hpp>

using namespace blocktrain::trainer;

namespace {

constexpr std::int64_t ms = 1'000'000;

struct Watch {
  std::int64_t now = 12'345'678;
  int reads = 0;
  std::int64_t read_ns = 0;  ///< how long a reading takes
  UpdatePeriod of(const std::function<std::optional<std::uint64_t>(std::int64_t)>& counter) {
    return measure_update_period(
        [&]() -> std::optional<std::uint64_t> {
          ++reads;
          now += read_ns;
          return counter(now);
        },
        {[this] { return now; }, [this](std::int64_t nanoseconds) { now += nanoseconds; }});
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(update_period)

BOOST_AUTO_TEST_CASE(a_steady_counter_has_its_period) {
  for (const std::int64_t period : {5 * ms, 20 * ms, 100 * ms, 150 * ms}) {
    Watch watch;
    const UpdatePeriod found = watch.of([period](std::int64_t now) { return now / period; });
    BOOST_CHECK_SMALL(found.seconds - static_cast<double>(period) * 1e-9, 1.1e-3);  // it looks every millisecond
    BOOST_CHECK_EQUAL(found.reason, "");
  }
}

BOOST_AUTO_TEST_CASE(the_median_does_not_mind_a_late_look) {
  Watch watch;
  const UpdatePeriod found = watch.of([&watch](std::int64_t now) -> std::optional<std::uint64_t> {
    if (watch.reads == 40) watch.now += 90 * ms;  // the thread waited for its turn
    return now / (20 * ms);
  });
  BOOST_CHECK_CLOSE(found.seconds, 0.02, 5.1);
}

BOOST_AUTO_TEST_CASE(the_median_is_of_the_length_whatever_the_order) {
  // 15 periods of 10 ms, but for the one in the middle.
  Watch watch;
  const std::int64_t begin = watch.now;
  const UpdatePeriod found = watch.of([begin](std::int64_t now) -> std::optional<std::uint64_t> {
    const std::int64_t passed = now - begin, late = 85 * ms, pause = 60 * ms;
    return (passed < late ? passed : std::max(late, passed - pause)) / (10 * ms);
  });
  BOOST_CHECK_SMALL(found.seconds - 0.01, 1.1e-3);
}

BOOST_AUTO_TEST_CASE(two_moves_are_a_period) {
  Watch watch;
  const std::int64_t begin = watch.now;
  const UpdatePeriod found = watch.of([begin](std::int64_t now) { return (now - begin) / (200 * ms); });
  BOOST_CHECK_EQUAL(found.reason, "");
  BOOST_CHECK_SMALL(found.seconds - 0.2, 1.1e-3);
}

BOOST_AUTO_TEST_CASE(a_fast_counter_ends_the_watch_early) {
  Watch watch;
  const std::int64_t begin = watch.now;
  BOOST_CHECK_CLOSE(watch.of([](std::int64_t now) { return now; }).seconds, 0.001, 1e-6);
  BOOST_CHECK_LT(watch.now - begin, 30 * ms);
}

BOOST_AUTO_TEST_CASE(an_idle_counter_has_none_after_half_a_second) {
  Watch watch;
  const std::int64_t begin = watch.now;
  const UpdatePeriod found = watch.of([](std::int64_t) { return 7; });
  BOOST_CHECK_EQUAL(found.seconds, -1);
  BOOST_CHECK_NE(found.reason.find("did not move"), std::string::npos);
  BOOST_CHECK_EQUAL(watch.now - begin, longest_watch_ns);
}

BOOST_AUTO_TEST_CASE(one_move_is_not_a_period) {
  Watch watch;
  const std::int64_t middle = watch.now + 200 * ms;
  const UpdatePeriod found = watch.of([middle](std::int64_t now) { return now > middle ? 8 : 7; });
  BOOST_CHECK_EQUAL(found.seconds, -1);
  BOOST_CHECK_NE(found.reason.find("only once"), std::string::npos);
}

BOOST_AUTO_TEST_CASE(slow_readings_and_clocks_that_stand_still_do_not_hold_it_up) {
  Watch slow;
  slow.read_ns = 200 * ms;
  const std::int64_t begin = slow.now;
  slow.of([](std::int64_t) { return 7; });
  BOOST_CHECK_LE(slow.now - begin, longest_watch_ns + 3 * slow.read_ns);
  int reads = 0;
  const UpdatePeriod found = measure_update_period([&reads]() -> std::optional<std::uint64_t> { return ++reads / 900; },
                                                   {[] { return std::int64_t{5}; }, [](std::int64_t) {}});
  BOOST_CHECK_EQUAL(found.seconds, -1);
  BOOST_CHECK_LT(reads, 2000);
}

BOOST_AUTO_TEST_CASE(a_counter_that_cannot_be_read_says_so) {
  Watch watch;
  const UpdatePeriod found = watch.of([&watch](std::int64_t now) -> std::optional<std::uint64_t> {
    if (watch.reads > 5) return std::nullopt;
    return now / (2 * ms);
  });
  BOOST_CHECK_EQUAL(found.seconds, -1);
  BOOST_CHECK_NE(found.reason.find("could not be read"), std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
