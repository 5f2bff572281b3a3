// The PyTorch loader beside our own network: it computes the same, and --check notices when it does not.
#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/trainer/export/support.hpp"
#include "tests/trainer/train/support.hpp"
#include "trainer/export/network_export.hpp"
#include "trainer/tasks/tasks.hpp"

namespace blocktrain::trainer {
namespace {

using testing::TemporaryFolder;

/// Exit status of a program; its output goes to ours.
int run_program(std::vector<std::string> words) {
  std::fflush(nullptr);
  const pid_t child = fork();
  BOOST_REQUIRE(child >= 0);
  if (child == 0) {
    std::vector<char*> arguments;
    for (std::string& w : words) arguments.push_back(w.data());
    arguments.push_back(nullptr);
    execvp(arguments.front(), arguments.data());
    _exit(127);
  }
  int status = 0;
  BOOST_REQUIRE(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/// A Python with PyTorch, or the end of the test as skipped.
std::string python() {
  std::vector<std::string> candidates{"python3"};
  if (const char* chosen = std::getenv("BLOCKTRAIN_TEST_PYTHON")) candidates.insert(candidates.begin(), chosen);
  for (const std::string& candidate : candidates) {
    if (run_program({candidate, "-c", "import sys\ntry: import torch\nexcept ImportError: sys.exit(1)"}) == 0) {
      return candidate;
    }
  }
  std::puts("SKIPPED: no Python with PyTorch; set BLOCKTRAIN_TEST_PYTHON to one");
  std::fflush(stdout);
  std::_Exit(77);
}

const std::string source = std::getenv("BLOCKTRAIN_TEST_SOURCE_DIR");
const std::string script = source + "/tests/trainer/export/loader_test.py";

}  // namespace

BOOST_AUTO_TEST_CASE(a_trained_run_passes_its_own_check) {
  const std::string interpreter = python();
  const TemporaryFolder folder;
  const std::string run = folder.path("run");
  BOOST_REQUIRE(testing::train_small(run, 1) == 0);
  TrainedNetwork network(task_of, run, {"parallel.device=cpu"});
  export_network(network, folder.path("export"), false);
  const std::string loader = folder.path("export/blocktrain_dit.py");
  BOOST_TEST(run_program({interpreter, loader, "--check"}) == 0);
  BOOST_TEST(run_program({interpreter, loader, "--check", folder.path("missing")}) == 1);
}

BOOST_AUTO_TEST_CASE(the_fixtures_are_what_the_loaders_compute) {
  for (const std::string architecture : {"dit", "vit"}) {
    BOOST_TEST(run_program({python(), source + "/tests/fixtures/" + architecture + "/generate.py", "--check"}) == 0);
  }
}

BOOST_AUTO_TEST_CASE(every_parameter_counts) {
  const std::string interpreter = python();
  // Blocks of several layers, as many as sampling steps do not divide, in every partition, and end to end.
  const std::vector<std::vector<std::string>> runs{
      {"noise.partition=equal_probability"},
      {"noise.partition=uniform", "blocks.layers=[3, 1]", "blocks.count=2", "noise.sigma_max=20"},
      {"noise.partition=uniform_log", "blocks.layers=[1, 2, 1]", "blocks.count=3", "model.heads=4", "model.patch=4"},
      {"blocks.training=end_to_end", "noise.sigma_data=0.7", "model.mlp_ratio=3"},
      {"model.architecture=vit"},
      {"model.architecture=vit", "objective.evidence=learned", "noise.partition=equal_probability", "blocks.count=2",
       "noise.sigma_data=0.7", "model.dropout=0"},
      {"model.architecture=vit", "objective.target_embedding=periodic", "blocks.layers=[1, 2, 1]", "blocks.count=3"},
      {"model.architecture=vit", "blocks.training=end_to_end", "model.mlp_ratio=3"}};
  for (std::vector<std::string> overrides : runs) {
    BOOST_TEST_CONTEXT(overrides.front() << ", " << overrides.back()) {
      overrides.push_back("budget.steps=2");
      const TemporaryFolder folder;
      BOOST_REQUIRE(testing::train_small(folder.path("run"), 1, overrides) == 0);
      TrainedNetwork network(task_of, folder.path("run"), {"parallel.device=cpu"});
      testing::open_every_gate(network);
      export_network(network, folder.path("export"), false);
      BOOST_TEST(run_program({interpreter, script, folder.path("export")}) == 0);
    }
  }
}

}  // namespace blocktrain::trainer
