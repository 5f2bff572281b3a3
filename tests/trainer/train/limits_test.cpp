// What limits a run: CPUs, threads, memory, control groups, readers of its output, signals.

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <mutex>

#include "comm/local/local_world.hpp"
#include "kernels/error.hpp"
#include "support.hpp"
#include "trainer/plan/memory_check.hpp"
#include "trainer/support/control_groups.hpp"
#include "trainer/support/output.hpp"
#include "trainer/support/stop_signal.hpp"
#include "trainer/support/threads.hpp"
#include "trainer/tasks/images/image_layout.hpp"

namespace blocktrain::trainer {
namespace {

constexpr std::int64_t mib = 1 << 20;

/// A made-up /proc and /sys/fs/cgroup.
class Tree {
 public:
  void write(const std::string& path, const std::string& text) const {
    const std::filesystem::path file = root() + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  std::string root() const { return folder_.path("root"); }

 private:
  testing::TemporaryFolder folder_;
};

const std::string v2_mount = "30 24 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

BOOST_AUTO_TEST_CASE(limits_of_version_2_are_read_up_to_the_root) {
  const Tree tree;
  tree.write("/proc/self/mountinfo", "24 1 8:1 / / rw - ext4 /dev/sda1 rw\n" + v2_mount);
  tree.write("/proc/self/cgroup", "0::/job/step\n");
  tree.write("/sys/fs/cgroup/job/step/cpu.max", "150000 100000\n");
  tree.write("/sys/fs/cgroup/job/step/memory.max", "max\n");
  tree.write("/sys/fs/cgroup/job/cpu.max", "max 100000\n");
  tree.write("/sys/fs/cgroup/job/memory.max", "104857600\n");
  tree.write("/sys/fs/cgroup/job/memory.high", "83886080\n");
  tree.write("/sys/fs/cgroup/job/memory.current", "52428800\n");
  tree.write("/sys/fs/cgroup/job/memory.stat", "anon 1\ninactive_file 20971520\nactive_file 7\n");
  const std::vector<ControlGroup> groups = control_groups(tree.root());
  BOOST_REQUIRE_EQUAL(groups.size(), 2u);
  BOOST_TEST(groups[0].path == "/job/step");
  BOOST_TEST(groups[0].cpus.value() == 1.5);
  BOOST_TEST(!groups[0].memory.has_value());
  BOOST_TEST(groups[1].path == "/job");
  BOOST_TEST(!groups[1].cpus.has_value());
  BOOST_TEST(groups[1].memory.value() == 80 * mib);
  BOOST_TEST(groups[1].memory_used == 30 * mib);
  BOOST_TEST(groups[0].id != groups[1].id);

  const ComputeShare share = compute_share(groups);
  BOOST_TEST(share.quota.value() == 1.5);
  BOOST_TEST(share.quota_name == "/job/step");
}

BOOST_AUTO_TEST_CASE(limits_of_version_1_are_read_beside_version_2) {
  const Tree tree;
  tree.write("/proc/self/mountinfo",
             "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
             "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
             "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
             "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
  tree.write("/proc/self/cgroup", "9:name=systemd:/x\n4:memory:/slurm/job_7\n2:cpu,cpuacct:/slurm\n0::/\n");
  tree.write("/sys/fs/cgroup/unified/cgroup.procs", "1\n");
  tree.write("/sys/fs/cgroup/cpu,cpuacct/slurm/cpu.cfs_quota_us", "200000\n");
  tree.write("/sys/fs/cgroup/cpu,cpuacct/slurm/cpu.cfs_period_us", "100000\n");
  tree.write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  tree.write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  tree.write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  tree.write("/sys/fs/cgroup/memory/slurm/job_7/memory.limit_in_bytes", "31457280\n");
  tree.write("/sys/fs/cgroup/memory/slurm/job_7/memory.usage_in_bytes", "10485760\n");
  tree.write("/sys/fs/cgroup/memory/slurm/job_7/memory.stat", "inactive_file 1\ntotal_inactive_file 1048576\n");
  const std::vector<ControlGroup> groups = control_groups(tree.root());
  BOOST_REQUIRE_EQUAL(groups.size(), 2u);
  BOOST_TEST(groups[0].path == "/slurm");
  BOOST_TEST(groups[0].cpus.value() == 2.0);
  BOOST_TEST(groups[1].path == "/slurm/job_7");
  BOOST_TEST(groups[1].memory.value() == 30 * mib);
  BOOST_TEST(groups[1].memory_used == 9 * mib);
}

BOOST_AUTO_TEST_CASE(a_container_sees_its_own_part_of_the_tree) {
  const Tree tree;
  tree.write("/proc/self/mountinfo", "30 24 0:27 /docker/a\\040b /sys/fs/cgroup ro master:9 - cgroup2 cgroup rw\n");
  tree.write("/proc/self/cgroup", "0::/docker/a b\n");
  tree.write("/sys/fs/cgroup/memory.max", "1048576\n");
  std::vector<ControlGroup> groups = control_groups(tree.root());
  BOOST_REQUIRE_EQUAL(groups.size(), 1u);
  BOOST_TEST(groups[0].path == "/");
  BOOST_TEST(groups[0].memory.value() == mib);
  // A path that is not mounted here: what is above it counts all the same.
  tree.write("/proc/self/cgroup", "0::/not/here\n");
  groups = control_groups(tree.root());
  BOOST_REQUIRE_EQUAL(groups.size(), 1u);
  BOOST_TEST(groups[0].memory.value() == mib);
}

BOOST_AUTO_TEST_CASE(what_cannot_be_understood_does_not_limit) {
  const Tree tree;
  BOOST_TEST(control_groups(tree.root()).empty());  // no /proc at all
  tree.write("/proc/self/mountinfo", "nonsense\n- cgroup2\n1 2 3 4 5 6 -\n\n" + v2_mount);
  tree.write("/proc/self/cgroup", "\n0\n0:\n:::\n0::/a/../../b\n");
  tree.write("/sys/fs/cgroup/cpu.max", "0 0\n");
  tree.write("/sys/fs/cgroup/memory.max", "-5\n");
  BOOST_TEST(control_groups(tree.root()).empty());
  tree.write("/sys/fs/cgroup/cpu.max", "1e9999999999999999999 many\n");
  tree.write("/sys/fs/cgroup/memory.max", "99999999999999999999999999\n");
  BOOST_TEST(control_groups(tree.root()).empty());
}

ComputeShare share_of(std::vector<int> cpus, double quota = 0, const std::string& group = "1:1") {
  ComputeShare share;
  share.cpus = std::move(cpus);
  if (quota > 0) {
    share.quota = quota;
    share.quota_id = group;
    share.quota_name = "/" + group;
  }
  return share;
}

std::vector<int> threads_of(const std::vector<ComputeShare>& on_host) {
  std::vector<int> threads;
  for (std::size_t me = 0; me < on_host.size(); ++me) threads.push_back(choose_threads(0, {}, on_host, me).threads);
  return threads;
}

BOOST_AUTO_TEST_CASE(ranks_share_the_cpus_that_several_may_use) {
  using Numbers = std::vector<int>;
  const ComputeShare two = share_of({4, 5}), all = share_of({0, 1, 2, 3, 4, 5, 6, 7});
  // A job's cpuset, ranks not bound.
  BOOST_TEST(threads_of({two, two, two, two}) == (Numbers{1, 1, 1, 1}), boost::test_tools::per_element());
  BOOST_TEST(choose_threads(0, {}, {two, two, two, two}, 3).reason == "4 ranks share 2 CPUs");
  BOOST_TEST(threads_of({all, all}) == (Numbers{4, 4}), boost::test_tools::per_element());
  BOOST_TEST(threads_of({all, all, all}) == (Numbers{2, 2, 2}), boost::test_tools::per_element());
  // Bound ranks have theirs for themselves.
  BOOST_TEST(threads_of({share_of({0, 1}), share_of({2, 3, 4})}) == (Numbers{2, 3}), boost::test_tools::per_element());
  BOOST_TEST(choose_threads(0, {}, {share_of({0}), share_of({2})}, 1).reason == "1 CPU for this rank");
  // Two that are bound, beside one that is not: it has the other six, and half of theirs.
  BOOST_TEST(threads_of({share_of({0}), share_of({1}), all}) == (Numbers{1, 1, 7}), boost::test_tools::per_element());
  BOOST_TEST(threads_of({share_of({})}) == (Numbers{1}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_quota_is_shared_by_the_ranks_of_its_group) {
  const std::vector<int> eight{0, 1, 2, 3, 4, 5, 6, 7};
  const auto choose = [](const std::vector<ComputeShare>& on_host) { return choose_threads(0, {}, on_host, 0); };
  BOOST_TEST(choose({share_of(eight, 1.5)}).threads == 2);
  BOOST_TEST(choose({share_of(eight, 1.5)}).reason == "control group /1:1 allows 1.5 CPUs");
  BOOST_TEST(choose({share_of(eight, 0.25)}).threads == 1);
  BOOST_TEST(choose({share_of(eight, 64)}).threads == 8);
  BOOST_TEST(choose({share_of(eight, 6), share_of(eight, 6)}).threads == 3);
  BOOST_TEST(choose({share_of(eight, 6), share_of(eight, 6)}).reason.find("to 2 ranks") != std::string::npos);
  // Groups of their own.
  BOOST_TEST(choose({share_of(eight, 3, "a"), share_of(eight, 3, "b")}).threads == 3);
}

BOOST_AUTO_TEST_CASE(the_config_decides_then_the_environment) {
  const std::vector<ComputeShare> two{share_of({0, 1})};
  BOOST_TEST(choose_threads(5, thread_wishes("3", "2"), two, 0).threads == 5);
  BOOST_TEST(choose_threads(5, thread_wishes("3", "2"), two, 0).reason == "parallel.threads");
  BOOST_TEST(choose_threads(0, thread_wishes("3", nullptr), two, 0).threads == 3);
  BOOST_TEST(choose_threads(0, thread_wishes("3", nullptr), two, 0).reason == "OMP_NUM_THREADS");
  BOOST_TEST(choose_threads(0, thread_wishes("4,2", "8"), two, 0).threads == 4);
  BOOST_TEST(choose_threads(0, thread_wishes(nullptr, "1"), two, 0).reason == "OMP_THREAD_LIMIT");
  for (const char* odd : {"", "0", "-2", "two", "3x", "99999999999"}) {
    BOOST_TEST(choose_threads(0, thread_wishes(odd, odd), two, 0).threads == 2, odd);
  }
}

BOOST_AUTO_TEST_CASE(ranks_of_a_world_find_each_others_share) {
  const auto cpus = static_cast<int>(cpus_at_start().size());
  BOOST_REQUIRE_GT(cpus, 0);
  std::mutex one_speaks;  // Boost.Test is not for several threads at a time
  comm::run_local_world(3, [&](comm::Communicator& world) {
    const ThreadChoice choice = choose_threads(world, comm::map_hosts(world), 0);
    const int asked = choose_threads(world, comm::map_hosts(world), 7).threads;
    const std::lock_guard lock(one_speaks);
    if (std::getenv("OMP_NUM_THREADS") == nullptr && std::getenv("OMP_THREAD_LIMIT") == nullptr) {
      BOOST_TEST(choice.threads <= std::max(1, cpus / 3));
    }
    BOOST_TEST(asked == 7);
  });
}

/// What `ranks` ranks are told whose plan meets `bounds`; empty where it fits.
std::string refusal(int ranks, const std::vector<MemoryBound>& bounds) {
  Config config;
  config.model.layers = 4;
  config.model.width = 32;
  config.model.heads = 2;
  config.blocks.count = 4;
  const blocks::SampleLayout digits = image_layout({1, 8, 8}, 10);
  std::string said;
  std::mutex one_speaks;
  comm::run_local_world(ranks, [&](comm::Communicator& world) {
    try {
      require_memory(world, comm::map_hosts(world), config, digits, make_plan(config, digits, ranks), bounds);
    } catch (const InputError& e) {
      const std::lock_guard lock(one_speaks);
      said = e.what();
    } catch (const std::exception&) {  // the other ranks, quietly
    }
  });
  return said;
}

BOOST_AUTO_TEST_CASE(memory_of_a_control_group_is_shared_by_the_ranks_in_it) {
  Config config;
  const MemoryBound machine{"machine", 1000 * mib, 0, "the machine", ""};
  const auto group = [](std::int64_t available) {
    return MemoryBound{"group 1:7", available, 20 * mib, "control group /job (100.0 MiB in all)", "give it more, or: "};
  };
  BOOST_TEST(refusal(1, {machine, group(60 * mib)}).empty());
  BOOST_TEST(refusal(4, {machine, group(200 * mib)}).empty());
  const std::string said = refusal(4, {machine, group(60 * mib)});
  BOOST_TEST(said.find("the program itself about 80.00 MiB") != std::string::npos, said);
  BOOST_TEST(said.find("(4 ranks), where control group /job (100.0 MiB in all) leaves 60.00 MiB: give it more, or: ") !=
                 std::string::npos,
             said);
  BOOST_TEST(refusal(1, {{"machine", 1000, 0, "the machine", ""}}).find("where 1000 B are available: ") !=
             std::string::npos);
}

BOOST_AUTO_TEST_CASE(bounds_of_this_process_are_found) {
  ControlGroup group;
  group.path = "/job";
  group.id = "1:7";
  group.memory = 100 * mib;
  group.memory_used = 30 * mib;
  struct rlimit before {};
  BOOST_REQUIRE_EQUAL(getrlimit(RLIMIT_AS, &before), 0);
  std::vector<MemoryBound> bounds = memory_bounds(2, 1, {group});
  BOOST_REQUIRE_GE(bounds.size(), 2u);
  BOOST_TEST(bounds[0].id == "machine");
  BOOST_TEST(bounds[0].available > 0);
  BOOST_TEST(bounds[1].available == 70 * mib);
  BOOST_TEST(bounds[1].what == "control group /job (100.00 MiB in all)");
  BOOST_TEST(available_in_groups({group}) == 70 * mib);
  BOOST_TEST(available_in_groups({}) == -1);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they need address space of their own
  struct rlimit limit = before;
  limit.rlim_cur = rlim_t{64} << 30;
  BOOST_REQUIRE_EQUAL(setrlimit(RLIMIT_AS, &limit), 0);
  bounds = memory_bounds(2, 1, {});
  BOOST_REQUIRE_EQUAL(setrlimit(RLIMIT_AS, &before), 0);
  BOOST_REQUIRE_EQUAL(bounds.size(), 2u);
  BOOST_TEST(bounds[1].what == "the limit of address space (ulimit -v, 64.00 GiB in all)");
  BOOST_TEST(bounds[1].available < (std::int64_t{64} << 30));
  BOOST_TEST(bounds[1].available > (std::int64_t{32} << 30));
#endif
}

BOOST_AUTO_TEST_CASE(output_that_nobody_takes_is_dropped) {
  const auto handler = std::signal(SIGPIPE, SIG_DFL);
  set_unread_output(UnreadOutput::is_dropped);
  int ends[2];
  BOOST_REQUIRE_EQUAL(pipe(ends), 0);
  std::FILE* out = fdopen(ends[1], "w");
  std::fputs("buffered ", out);
  BOOST_TEST(write_output(out, "text"));
  char text[32] = {};
  BOOST_TEST(read(ends[0], text, sizeof text) == 13);
  BOOST_TEST(std::string(text) == "buffered text");
  // A reader that has stopped reading: full, and no wait without end.
  const std::string much(1 << 20, 'x');
  BOOST_TEST(!write_output(out, much, std::chrono::milliseconds(20)));
  BOOST_TEST(!write_output(out, "more", std::chrono::milliseconds(0)));
  // One that is gone.
  close(ends[0]);
  BOOST_TEST(!write_output(out, "more"));
  BOOST_TEST(!write_output(out, "and more"));
  std::fclose(out);
  std::FILE* full = std::fopen("/dev/full", "w");
  BOOST_TEST(!write_output(full, "text"));
  std::fclose(full);
  std::signal(SIGPIPE, handler);
}

/// Whether a rank whose own output is read says something, where its launcher's is read or not.
bool rank_speaks(bool launcher_is_read) {
  int launcher[2], rank[2];
  BOOST_REQUIRE_EQUAL(pipe(launcher), 0);
  BOOST_REQUIRE_EQUAL(pipe(rank), 0);
  std::fflush(stdout);
  const int before = dup(STDOUT_FILENO);
  dup2(launcher[1], STDOUT_FILENO);
  close(launcher[1]);
  if (!launcher_is_read) close(launcher[0]);
  const pid_t child = fork();
  if (child == 0) {
    setenv("OMPI_COMM_WORLD_RANK", "0", 1);
    dup2(rank[1], STDOUT_FILENO);
    close(launcher[0]);
    _exit(write_output(stdout, "words") ? 10 : 20);
  }
  int status = 0;
  BOOST_REQUIRE_EQUAL(waitpid(child, &status, 0), child);
  dup2(before, STDOUT_FILENO);
  for (const int descriptor : {before, rank[0], rank[1]}) close(descriptor);
  if (launcher_is_read) close(launcher[0]);
  BOOST_REQUIRE(WIFEXITED(status));
  return WEXITSTATUS(status) == 10;
}

BOOST_AUTO_TEST_CASE(ranks_are_silent_when_nobody_reads_their_launcher) {
  // mpirun would end the job for lines that it cannot pass on.
  BOOST_TEST(rank_speaks(true));
  BOOST_TEST(!rank_speaks(false));
}

BOOST_AUTO_TEST_CASE(signals_that_ask_for_the_end_ask_to_stop) {
  // Where the tests themselves are run by nohup, a closed terminal is no reason to stop from the beginning.
  struct sigaction before {};
  BOOST_REQUIRE_EQUAL(sigaction(SIGHUP, nullptr, &before), 0);
  const bool by_nohup = before.sa_handler == SIG_IGN;
  install_stop_signals();
  for (const int sign : {SIGUSR1, SIGUSR2, SIGTERM, SIGINT, SIGXCPU, SIGHUP}) {
    clear_stop_request();
    raise(sign);
    BOOST_TEST(stop_requested() == !(by_nohup && sign == SIGHUP), "signal " << sign);
  }
  clear_stop_request();
  std::signal(SIGHUP, SIG_IGN);  // nohup
  install_stop_signals();
  raise(SIGHUP);
  BOOST_TEST(!stop_requested());
  for (const int sign : {SIGUSR1, SIGUSR2, SIGTERM, SIGINT, SIGXCPU}) std::signal(sign, SIG_DFL);
}

}  // namespace
}  // namespace blocktrain::trainer
