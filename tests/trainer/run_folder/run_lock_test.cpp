// The lock of a RUN folder, also where the file system has none.

#include "trainer/run_folder/run_lock.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <vector>

#include "kernels/error.hpp"
#include "tests/trainer/train/support.hpp"

namespace blocktrain::trainer {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using testing::TemporaryFolder;

int fails_with(int error) {
  errno = error;
  return -1;
}
const LockCalls no_locks{[](int, int) { return fails_with(ENOLCK); }};
const LockCalls not_supported{[](int, int) { return fails_with(EOPNOTSUPP); }};
const LockCalls not_implemented{[](int, int) { return fails_with(ENOSYS); }};
const LockCalls broken{[](int, int) { return fails_with(EIO); }};

Json holder_of(const RunPaths& paths) {
  std::ifstream in(paths.lock_holder());
  return Json::parse(in);
}

/// lock.holder as a process would have left it that is this one but for what `change` does.
void leave_holder(const RunPaths& paths, const std::function<void(Json&)>& change) {
  const LockHolder self = this_process();
  Json j = {
      {"format", "blocktrain-lock"},         {"version", 1},    {"host", self.host},   {"boot", self.boot},
      {"pid_namespace", self.pid_namespace}, {"pid", self.pid}, {"start", self.start}, {"token", "0123456789abcdef"}};
  change(j);
  std::ofstream(paths.lock_holder()) << j.dump();
}

auto says(const std::string& part) {
  return [part](const InputError& e) {
    BOOST_TEST_MESSAGE(e.what());
    return std::string(e.what()).find(part) != std::string::npos;
  };
}

/// A process that has ended: its number, and when it began.
LockHolder ended_process() {
  int pipes[2];
  BOOST_REQUIRE(pipe(pipes) == 0);
  const pid_t child = fork();
  if (child == 0) {
    const unsigned long long start = this_process().start;
    _exit(write(pipes[1], &start, sizeof(start)) == sizeof(start) ? 0 : 1);
  }
  LockHolder h = this_process();
  h.pid = child;
  BOOST_REQUIRE(read(pipes[0], &h.start, sizeof(h.start)) == sizeof(h.start));
  int status = 0;
  BOOST_REQUIRE(waitpid(child, &status, 0) == child);
  close(pipes[0]);
  close(pipes[1]);
  return h;
}

struct Run {
  TemporaryFolder folder;
  RunPaths paths{folder.path("run")};
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(where_there_are_locks_the_system_keeps_them, Run) {
  {
    const RunLock lock(paths);
    BOOST_TEST(lock.note().empty());
    BOOST_TEST(!fs::exists(paths.lock_holder()));
    BOOST_CHECK_EXCEPTION(RunLock{paths}, InputError, says("trained in by another process"));
  }
  const RunLock again(paths);
}

BOOST_FIXTURE_TEST_CASE(where_there_are_none_a_file_is_the_lock, Run) {
  for (const LockCalls& calls : {no_locks, not_supported, not_implemented}) {
    {
      const RunLock lock(paths, calls);
      BOOST_TEST(lock.note().find("lock.holder keeps other trainings out") != std::string::npos);
      BOOST_TEST(holder_of(paths).at("pid") == getpid());
      BOOST_CHECK_EXCEPTION(RunLock(paths, calls), InputError, says("process " + std::to_string(getpid())));
      // One to whom the same folder shows locks.
      BOOST_CHECK_EXCEPTION(RunLock{paths}, InputError, says("lock.holder"));
    }
    BOOST_TEST(!fs::exists(paths.lock_holder()));
    const RunLock again(paths, calls);
  }
  BOOST_CHECK_EXCEPTION(RunLock(paths, broken), InputError, says("cannot lock"));
}

BOOST_FIXTURE_TEST_CASE(what_a_killed_process_left_is_taken_over, Run) {
  fs::create_directory(paths.root);
  const LockHolder gone = ended_process();
  const auto left_by_gone = [&](Json& j) {
    j["pid"] = gone.pid;
    j["start"] = gone.start;
  };
  leave_holder(paths, left_by_gone);
  {
    const RunLock lock(paths, no_locks);
    BOOST_TEST(holder_of(paths).at("pid") == getpid());
  }
  leave_holder(paths, left_by_gone);
  { const RunLock lock(paths); }
  BOOST_TEST(!fs::exists(paths.lock_holder()));
  // Its number may belong to another process by now.
  leave_holder(paths, [](Json& j) { j["start"] = j["start"].get<unsigned long long>() + 1; });
  const RunLock lock(paths, no_locks);
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(paths.root)) ++files;
  BOOST_TEST(files == 2U);  // lock, lock.holder
}

BOOST_FIXTURE_TEST_CASE(what_may_belong_to_a_living_process_is_refused_with_advice, Run) {
  fs::create_directory(paths.root);
  const LockHolder gone = ended_process();
  const auto refused = [&](const std::string& what, const std::function<void(Json&)>& change) {
    BOOST_TEST_CONTEXT(what) {
      leave_holder(paths, [&](Json& j) {
        j["pid"] = gone.pid;
        j["start"] = gone.start;
        change(j);
      });
      for (const LockCalls& calls : {LockCalls{}, no_locks}) {
        BOOST_CHECK_EXCEPTION(RunLock(paths, calls), InputError, says("remove that file"));
      }
      BOOST_TEST(fs::exists(paths.lock_holder()));
    }
  };
  refused("another host", [](Json& j) {
    j["host"] = "node7";
    j["boot"] = "another";
  });
  refused("another start of a host of that name", [](Json& j) { j["boot"] = "another"; });
  refused("a container beside this one", [](Json& j) { j["pid_namespace"] = "pid:[1]"; });
  refused("no boot id", [](Json& j) { j["boot"] = ""; });
  refused("this process", [](Json& j) {
    j["pid"] = this_process().pid;
    j["start"] = this_process().start;
  });
  refused("a token that is a path", [](Json& j) { j["token"] = "/../../../../etc/x"; });
  refused("a later version", [](Json& j) { j["version"] = 2; });
  refused("numbers that are none", [](Json& j) { j["pid"] = "7"; });
  std::ofstream(paths.lock_holder(), std::ios::trunc);
  BOOST_CHECK_EXCEPTION(RunLock(paths, no_locks), InputError, says("remove that file"));
  fs::remove(paths.lock_holder());
  const RunLock lock(paths, no_locks);
}

BOOST_FIXTURE_TEST_CASE(of_many_at_a_time_one_gets_it, Run) {
  fs::create_directory(paths.root);
  const LockHolder gone = ended_process();
  for (int round = 0; round < 20; ++round) {
    leave_holder(paths, [&](Json& j) {
      j["pid"] = gone.pid;
      j["start"] = gone.start;
    });
    std::vector<std::unique_ptr<RunLock>> locks(8);
    std::atomic<int> refused{0}, other{0};
    {
      std::vector<std::jthread> threads;
      for (auto& lock : locks) {
        threads.emplace_back([&] {
          try {
            lock = std::make_unique<RunLock>(paths, no_locks);
          } catch (const InputError&) {
            ++refused;
          } catch (...) {
            ++other;
          }
        });
      }
    }
    BOOST_TEST(other == 0);
    BOOST_TEST(refused >= 7);
    const auto held = std::count_if(locks.begin(), locks.end(), [](const auto& lock) { return lock != nullptr; });
    BOOST_TEST(held + refused == 8);
    BOOST_TEST(fs::exists(paths.lock_holder()) == (held == 1));
    locks.clear();
    fs::remove(paths.lock_holder());
  }
}

BOOST_FIXTURE_TEST_CASE(a_folder_of_somebody_else_says_how_to_go_on, Run) {
  { const RunLock lock(paths); }
  fs::permissions(folder.path(""), fs::perms(0755));
  fs::permissions(paths.root, fs::perms(0755));
  fs::permissions(paths.lock(), fs::perms(0444));
  const bool root = geteuid() == 0;
  if (root) BOOST_REQUIRE(seteuid(65534) == 0);
  BOOST_CHECK_EXCEPTION(RunLock{paths}, InputError, says("chmod -R g+w"));
  if (root) BOOST_REQUIRE(seteuid(0) == 0);
}

}  // namespace blocktrain::trainer
