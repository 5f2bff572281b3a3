#include "kernels/running_clock.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <thread>

using namespace blocktrain;
using namespace std::chrono_literals;

BOOST_AUTO_TEST_CASE(time_counts_from_the_first_look) {
  RunningTime time;
  BOOST_TEST((time.look(1h) == 0s));
  BOOST_TEST((time.look(1h + 200ms) == 200ms));
  BOOST_TEST((time.look(1h + 200ms) == 200ms));
  BOOST_TEST((time.look(1h + 700ms) == 700ms));
}

BOOST_AUTO_TEST_CASE(a_stop_counts_as_the_longest_gap) {
  RunningTime time;
  time.look(0s);
  time.look(100ms);
  BOOST_TEST((time.look(10h) == 100ms + RunningTime::longest_gap));
  BOOST_TEST((time.look(10h + 300ms) == 400ms + RunningTime::longest_gap));
}

BOOST_AUTO_TEST_CASE(a_wait_looks_often_enough_to_count_all_of_its_time) {
  static_assert(longest_unwatched < RunningTime::longest_gap);
  std::mutex mutex;
  std::condition_variable never;
  std::unique_lock lock(mutex);
  const auto began = std::chrono::steady_clock::now();
  BOOST_TEST(!wait_running(never, lock, RunningClock::now() + 1s, [] { return false; }));
  const auto took = std::chrono::steady_clock::now() - began;
  BOOST_TEST((took >= 1s));
}

BOOST_AUTO_TEST_CASE(a_wait_ends_when_it_is_ready) {
  std::mutex mutex;
  std::condition_variable changed;
  bool ready = false;
  std::thread other([&] {
    const std::lock_guard lock(mutex);
    ready = true;
    changed.notify_all();
  });
  {
    std::unique_lock lock(mutex);
    BOOST_TEST(wait_running(changed, lock, RunningClock::now() + 1h, [&] { return ready; }));
    BOOST_TEST(wait_running(changed, lock, RunningClock::now() - 1s, [&] { return ready; }));
    BOOST_TEST(!wait_running(changed, lock, RunningClock::now() - 1s, [] { return false; }));
  }
  other.join();
}

/// What a process says of its clock before and after it was stopped for a while.
BOOST_AUTO_TEST_CASE(the_clock_stands_while_the_process_is_stopped) {
  const pid_t child = fork();
  BOOST_REQUIRE(child >= 0);
  if (child == 0) {
    const auto before = RunningClock::now();
    const auto wall = std::chrono::steady_clock::now();
    raise(SIGSTOP);
    const auto counted = RunningClock::now() - before;
    _exit(std::chrono::steady_clock::now() - wall < 2s ? 2 : counted <= RunningTime::longest_gap ? 0 : 1);
  }
  int status = 0;
  BOOST_REQUIRE(waitpid(child, &status, WUNTRACED) == child);
  BOOST_REQUIRE(WIFSTOPPED(status));
  std::this_thread::sleep_for(2s);
  BOOST_REQUIRE(kill(child, SIGCONT) == 0);
  BOOST_REQUIRE(waitpid(child, &status, 0) == child);
  BOOST_TEST((WIFEXITED(status) && WEXITSTATUS(status) == 0));
}
