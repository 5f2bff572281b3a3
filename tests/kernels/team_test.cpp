// Teams of threads: every piece once, whoever calls from wherever; nobody waits at the cost of others.

#include "kernels/cpu/team.hpp"

#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <filesystem>
#include <thread>
#include <vector>

#include "kernels/cpu/parallel.hpp"
#include "kernels/error.hpp"

namespace blocktrain::kernels {
namespace {

/// Whether a loop calls each piece once, on threads within bounds.
bool each_once(int threads, std::int64_t count) {
  std::vector<std::atomic<int>> calls(static_cast<std::size_t>(count));
  std::atomic<bool> within{true};
  parallel_for(threads, count, [&](std::int64_t i, int thread) {
    calls[static_cast<std::size_t>(i)].fetch_add(1);
    if (thread < 0 || thread >= threads) within = false;
  });
  return within && std::all_of(calls.begin(), calls.end(), [](const auto& n) { return n == 1; });
}

std::ptrdiff_t threads_of_process() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return std::distance(begin(tasks), end(tasks));
}

double cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

BOOST_AUTO_TEST_CASE(every_piece_is_called_once) {
  for (const int threads : {1, 2, 3, 7}) {
    for (const std::int64_t count : {0, 1, 2, 3, 64, 1000}) {
      BOOST_TEST(each_once(threads, count), threads << " threads, " << count << " pieces");
    }
  }
}

BOOST_AUTO_TEST_CASE(loops_follow_each_other_without_a_pause) {
  // What a late worker takes must be of the loop that runs now.
  std::int64_t wrong = 0;
  for (std::int64_t loop = 0; loop < 20000; ++loop) {
    std::atomic<std::int64_t> sum{0};
    const std::int64_t count = 1 + loop % 5;
    parallel_for(2 + static_cast<int>(loop % 3), count, [&](std::int64_t i) { sum += loop + i; });
    wrong += sum != count * loop + count * (count - 1) / 2;
  }
  BOOST_TEST(wrong == 0);
}

BOOST_AUTO_TEST_CASE(callers_have_teams_of_their_own) {
  const std::ptrdiff_t before = threads_of_process();
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([&wrong, c] {
      for (int loop = 0; loop < 300; ++loop) wrong += each_once(2 + c % 2, 17) ? 0 : 1;
    });
  }
  for (std::thread& caller : callers) caller.join();
  BOOST_TEST(wrong == 0);
  BOOST_TEST(threads_of_process() == before, "workers outlive their caller");
}

BOOST_AUTO_TEST_CASE(a_team_has_as_many_threads_as_were_asked_for) {
  const std::ptrdiff_t before = threads_of_process();
  std::thread caller([before] {  // itself one of its team
    int most = 0;                // a team never shrinks
    for (const int threads : {1, 3, 2, 5}) {
      most = std::max(most, threads);
      BOOST_TEST(each_once(threads, 100));
      BOOST_TEST(threads_of_process() == before + most);
    }
  });
  caller.join();
}

BOOST_AUTO_TEST_CASE(a_loop_inside_a_piece_runs_on_its_thread) {
  std::atomic<int> wrong{0};
  parallel_for(3, 12, [&](std::int64_t) {
    const std::thread::id outer = std::this_thread::get_id();
    int pieces = 0;
    parallel_for(3, 5, [&](std::int64_t, int thread) {
      ++pieces;
      if (std::this_thread::get_id() != outer || thread != 0) ++wrong;
    });
    if (pieces != 5) ++wrong;
  });
  BOOST_TEST(wrong == 0);
}

BOOST_AUTO_TEST_CASE(workers_that_wait_sleep) {
  const LookOut patience = look_out(std::getenv("OMP_WAIT_POLICY"), std::getenv("GOMP_SPINCOUNT"));
  if (patience.looks >= 0) {
    BOOST_TEST_MESSAGE("SKIPPED: OMP_WAIT_POLICY or GOMP_SPINCOUNT says how to wait");
    return;
  }
  BOOST_TEST(each_once(4, 100));
  const double before = cpu_seconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  // Three of them: looking out without end would take up to 0.9 s of the cores, and never less than a share of them.
  BOOST_TEST(cpu_seconds() - before < 0.05);
  BOOST_TEST(each_once(4, 100));
}

BOOST_AUTO_TEST_CASE(a_caller_that_waits_sleeps) {
  const double before = cpu_seconds();
  parallel_for(2, 2, [](std::int64_t) {
    // The first to come takes both where the other is late; else one of them waits for the other.
    static std::atomic<bool> slow{true};
    if (slow.exchange(false)) std::this_thread::sleep_for(std::chrono::milliseconds(300));
  });
  BOOST_TEST(cpu_seconds() - before < 0.05);
}

BOOST_AUTO_TEST_CASE(the_environment_says_how_to_wait) {
  constexpr std::int64_t without_end = std::numeric_limits<std::int64_t>::max();
  const LookOut usual = look_out(nullptr, nullptr);
  BOOST_TEST(usual.looks == -1);
  BOOST_TEST((usual.time > std::chrono::nanoseconds(0) && usual.time <= std::chrono::milliseconds(1)));
  BOOST_TEST(look_out("passive", nullptr).looks == 0);
  BOOST_TEST(look_out("PASSIVE", nullptr).looks == 0);
  BOOST_TEST(look_out("Active", nullptr).looks == without_end);
  BOOST_TEST(look_out(nullptr, "0").looks == 0);
  BOOST_TEST(look_out("active", "1000").looks == 1000);
  BOOST_TEST(look_out("passive", "infinity").looks == without_end);
  for (const char* odd : {"", "many", "-1", "10x"}) BOOST_TEST(look_out("odd", odd).looks == -1, odd);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they need address space of their own
BOOST_AUTO_TEST_CASE(where_there_are_no_threads_an_error_names_the_limits) {
  struct rlimit before {};
  BOOST_REQUIRE_EQUAL(getrlimit(RLIMIT_AS, &before), 0);
  std::thread([&] {
    struct rlimit low = before;
    low.rlim_cur = std::size_t{1} << 30;  // 1 GiB: stacks of 8 MiB for some of the 1000
    BOOST_REQUIRE_EQUAL(setrlimit(RLIMIT_AS, &low), 0);
    std::string said;
    try {
      prepare_team(1000);
    } catch (const RunError& e) {
      said = e.what();
    }
    BOOST_REQUIRE_EQUAL(setrlimit(RLIMIT_AS, &before), 0);
    BOOST_TEST(said.find("gives no thread for compute thread") != std::string::npos, said);
    BOOST_TEST(said.find("1024 MiB (ulimit -v)") != std::string::npos, said);
    BOOST_TEST(said.find("parallel.threads") != std::string::npos, said);
    BOOST_TEST(each_once(3, 100));  // those that there are go on
  }).join();
}
#endif

}  // namespace
}  // namespace blocktrain::kernels
