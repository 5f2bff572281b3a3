// kill -9 at any instant: a child commits, names and prunes checkpoints in a loop and is killed at random moments.
// Whatever it had reported as named has to be there, whole, and with the right numbers.

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <chrono>
#include <thread>

#include "tests/trainer/checkpoint/support.hpp"
#include "trainer/checkpoint/manifest_writer.hpp"
#include "trainer/checkpoint/resume.hpp"

namespace blocktrain::trainer {
namespace {

using namespace test;

constexpr int block_count = 2;
constexpr int kills = 30;

struct Report {
  std::int64_t block = 0, step = 0;
};

/// Resumes and goes on for ever, writing to `pipe` what the manifest names. Exit code 3: something was wrong.
[[noreturn]] void child(const std::filesystem::path& run, int pipe, bool coupled) {
  try {
    const auto parameters = small_parameters();
    const ResumePlan plan = find_resume_points(run, identity_a, block_count, coupled);
    ManifestWriter writer(run, identity_a, plan);
    std::vector<std::int64_t> steps;
    for (const ResumePoint& point : plan.blocks) steps.push_back(point.step);
    for (;;) {
      for (int b = 0; b < block_count; ++b) {
        const std::int64_t step = ++steps[static_cast<std::size_t>(b)];
        writer.add(commit_block(run, make_header(b, step, block_count), parameters,
                                make_state(parameters, b, step, false).view()));
        const Report report{b, step};
        if (::write(pipe, &report, sizeof report) != sizeof report) ::_exit(3);
        if (!writer.prune(2, coupled).warnings.empty()) ::_exit(3);
      }
    }
  } catch (...) {
    ::_exit(3);
  }
}

void check_kills(bool coupled) {
  const TemporaryFolder run;
  const auto folder = checkpoints_folder(run.path());
  const auto parameters = small_parameters();
  std::vector<std::int64_t> named(block_count, 0);
  int reports = 0;
  for (std::uint32_t k = 0; k < kills; ++k) {
    int pipe[2];
    BOOST_REQUIRE(::pipe(pipe) == 0);
    const pid_t process = ::fork();
    BOOST_REQUIRE(process >= 0);
    if (process == 0) {
      ::close(pipe[0]);
      child(run.path(), pipe[1], coupled);
    }
    ::close(pipe[1]);
    // At first anywhere from the start of the program on, later mostly amid commits.
    const auto words = kernels::random_words({.seed = 11}, 0, coupled, k);
    if (k % 3 != 0) {
      struct pollfd ready {
        .fd = pipe[0], .events = POLLIN, .revents = 0
      };
      BOOST_REQUIRE(::poll(&ready, 1, 60000) == 1);
    }
    std::this_thread::sleep_for(std::chrono::microseconds(words[0] % 100000));
    BOOST_REQUIRE(::kill(process, SIGKILL) == 0);
    int status = 0;
    BOOST_REQUIRE(::waitpid(process, &status, 0) == process);
    BOOST_REQUIRE_MESSAGE(WIFSIGNALED(status), "the child ended by itself, with code " << WEXITSTATUS(status));
    Report report;
    while (::read(pipe[0], &report, sizeof report) == sizeof report) {
      named[static_cast<std::size_t>(report.block)] = report.step;
      ++reports;
    }
    ::close(pipe[0]);

    const ResumePlan plan = find_resume_points(run.path(), identity_a, block_count, coupled);
    const std::int64_t common = *std::ranges::min_element(named);
    for (const ResumePoint& point : plan.blocks) {
      // The newest named one; or the one whose report the kill cut off.
      const std::int64_t at_least = coupled ? common : named[static_cast<std::size_t>(point.block)];
      BOOST_TEST(point.step >= at_least);
      BOOST_TEST(point.step <= at_least + 1);
      named[static_cast<std::size_t>(point.block)] = point.step;
      if (!point.file) continue;
      State read = make_state(parameters, 0, 0, false);
      read_block_file(folder / point.file->name, make_header(point.block, point.step, block_count), parameters,
                      read.writable());
      const State expected = make_state(parameters, point.block, point.step, false);
      BOOST_TEST((read.parameters == expected.parameters && read.second_moment == expected.second_moment));
    }
    for (const std::string& warning : plan.warnings) {
      if (warning.find("starts at step 0") == std::string::npos &&
          warning.find("start at step 0") == std::string::npos) {
        BOOST_ERROR("kill " << k << ": " << warning);
      }
    }
    // Everything the manifest names is whole, not the newest alone.
    if (const auto loaded = load_manifest(run.path(), identity_a, block_count)) {
      for (const auto& files : loaded->manifest.blocks) {
        for (const CommittedFile& file : files) BOOST_TEST(!find_damage(folder, file).has_value());
      }
    }
  }
  BOOST_TEST(reports >= kills * 2 / 3);  // the children that were waited for
  const ManifestWriter last(run.path(), identity_a, find_resume_points(run.path(), identity_a, block_count, coupled));
  BOOST_TEST(files_aside(folder) == 0);
}

BOOST_AUTO_TEST_CASE(independent_blocks) { check_kills(false); }
BOOST_AUTO_TEST_CASE(coupled_blocks) { check_kills(true); }

}  // namespace
}  // namespace blocktrain::trainer
