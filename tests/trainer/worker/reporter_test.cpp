// A rank whose coordinator falls silent ends the job, also while its training thread is held up.

#include "trainer/worker/reporter.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <chrono>
#include <thread>

#include "comm/local/local_world.hpp"
#include "trainer/exchange/messages.hpp"

namespace blocktrain::trainer {
namespace {

constexpr int was_not_ended = 7;

/// Exit code of a process of two ranks: of one that reports, and does nothing else for `patience`, and of a coordinator
/// that says it is alive as often as it hears something, or nothing.
int exit_of_a_job(bool coordinator_speaks, std::chrono::milliseconds timeout, std::chrono::milliseconds patience) {
  const pid_t child = fork();
  BOOST_REQUIRE(child >= 0);
  if (child == 0) {
    comm::run_local_world(2, [&](comm::Communicator& world) {
      const auto until = std::chrono::steady_clock::now() + patience;
      if (world.rank() == 1) {
        ReporterSettings settings;
        settings.timeout = timeout;
        const Reporter reporter(world, settings);
        std::this_thread::sleep_until(until);
        _exit(was_not_ended);
      }
      while (std::chrono::steady_clock::now() < until) {
        if (coordinator_speaks) {
          world.post(1, tag_control, encode(Control{ControlKind::alive, 0}), comm::TrafficPurpose::control);
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
      }
      std::this_thread::sleep_for(std::chrono::minutes(1));
    });
    _exit(0);
  }
  int status = 0;
  BOOST_REQUIRE(waitpid(child, &status, 0) == child);
  BOOST_REQUIRE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

BOOST_AUTO_TEST_CASE(a_rank_that_hears_nothing_and_is_held_up_ends_the_job) {
  using std::chrono::milliseconds;
  // Only where it is not ended does this take the whole of its patience.
  BOOST_TEST(exit_of_a_job(false, milliseconds(200), milliseconds(60000)) == 1);
  BOOST_TEST(exit_of_a_job(true, milliseconds(60000), milliseconds(200)) == was_not_ended);
}

}  // namespace
}  // namespace blocktrain::trainer
