#include "trainer/support/while_writing.hpp"

#include <atomic>
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>

namespace blocktrain::trainer {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds long_time{600000};

BOOST_AUTO_TEST_CASE(a_rank_that_writes_for_long_says_that_it_lives) {
  std::atomic<int> said{0};
  int said_when_written = 0;
  const auto write = [&] {
    // A disk that takes until the rank has been heard three times; two minutes are for a test that fails.
    for (int i = 0; i < 12000 && said < 3; ++i) std::this_thread::sleep_for(milliseconds(10));
    said_when_written = said;
  };
  while_writing(
      write, [&] { ++said; }, milliseconds(1), long_time);
  BOOST_TEST(said_when_written >= 3);
}

BOOST_AUTO_TEST_CASE(nothing_is_said_beyond_patience) {
  bool written = false;
  int said = 0;
  while_writing([&] { written = true; }, [&] { ++said; }, milliseconds(0), milliseconds(0));
  BOOST_TEST(written);
  BOOST_TEST(said == 0);
}

BOOST_AUTO_TEST_CASE(what_goes_wrong_is_thrown_when_both_have_ended) {
  const auto throws = [](const std::string& what) { return [what] { throw std::runtime_error(what); }; };
  const auto says = [](const std::string& what) {
    return [what](const std::exception& e) { return e.what() == what; };
  };
  std::atomic<bool> said{false}, written{false};
  BOOST_CHECK_EXCEPTION(while_writing(
                            throws("disk"), [] {}, milliseconds(1), long_time),
                        std::runtime_error, says("disk"));
  const auto write = [&] {
    for (int i = 0; i < 12000 && !said; ++i) std::this_thread::sleep_for(milliseconds(10));
    written = true;
  };
  const auto speak = [&] {
    said = true;
    throw std::runtime_error("network");
  };
  BOOST_CHECK_EXCEPTION(while_writing(write, speak, milliseconds(1), long_time), std::runtime_error, says("network"));
  BOOST_TEST(written);
}

}  // namespace
}  // namespace blocktrain::trainer
