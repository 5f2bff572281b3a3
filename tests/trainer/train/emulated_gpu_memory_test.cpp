// Memory of a GPU that nobody asked for: on the emulated GPU it is known to the byte, so that what the ledger, `plan`
// and the check at the start make of it can be compared.
#include <unistd.h>

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <thread>

#include "kernels/gpu_scratch.hpp"
#include "support.hpp"
#include "tests/emulated_gpu/emulated_gpu.hpp"
#include "tests/emulated_gpu/memory.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/data/data_facts.hpp"
#include "trainer/run_folder/run_folder.hpp"
#include "trainer/worker/step_probe.hpp"

namespace blocktrain::trainer {
namespace {

using nlohmann::json;
using testing::TemporaryFolder;

constexpr std::size_t mib = std::size_t{1} << 20, context = 96 * mib, library = 7 * mib, graph = 5;

/// CUDA takes memory of its own while there is one of these.
struct CostlyCuda {
  CostlyCuda() {
    emulated_gpu::settings().context_bytes = context;
    emulated_gpu::settings().library_bytes = library;
    emulated_gpu::settings().graph_bytes = graph;
  }
  ~CostlyCuda() { emulated_gpu::settings() = {}; }
};

int train_on_gpu(const std::string& run, int ranks = 1) {
  return testing::train_small(run, ranks, {"parallel.device=cuda", "model.patch=4"});
}

Config config_of(const std::string& run) {
  Config config = load_run_config(run);
  config.parallel.device = DeviceChoice::cuda;
  return config;
}

/// What `work` prints.
template <class Work>
std::string printed(const std::string& file, const Work& work) {
  std::fflush(stdout);
  const int before = dup(STDOUT_FILENO);
  BOOST_REQUIRE(std::freopen(file.c_str(), "w", stdout) != nullptr);
  work();
  std::fflush(stdout);
  dup2(before, STDOUT_FILENO);
  close(before);
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(any_thread_may_ask_what_is_free, CostlyCuda) {
  const auto device = kernels::make_cuda_device(0, kernels::DType::float32, true);
  BOOST_TEST(device->facts().memory_bytes - device->facts().free_bytes == context + kernels::ops_scratch_bytes);
  const kernels::Arena arena = device->arena("test", 1000);
  std::optional<std::size_t> free;
  std::thread([&] { free = device->free_bytes(); }).join();
  BOOST_TEST(free.value() == device->facts().free_bytes - 1000);
  emulated_gpu::settings().devices = 0;  // the GPU is lost
  BOOST_TEST(!device->free_bytes());
  BOOST_TEST(!kernels::make_cpu_device(1)->free_bytes());
}

BOOST_FIXTURE_TEST_CASE(the_ledger_has_what_the_arenas_do_not_explain, CostlyCuda) {
  for (const int ranks : {1, 2}) {
    const TemporaryFolder folder;
    BOOST_REQUIRE_EQUAL(train_on_gpu(folder.path("run"), ranks), 0);
    // Ranks in one process share its context and libraries; each has scratch of its own.
    const std::size_t least = context + library + static_cast<std::size_t>(ranks) * kernels::ops_scratch_bytes;
    const json start = json::parse(testing::lines(folder.path("run") + "/ledger.jsonl").front());
    BOOST_TEST(start.at("facts").at("device").get<std::string>() ==
               kernels::make_cuda_device(0, kernels::DType::float32, true)->facts().name);
    int steps = 0;
    for (const json& row : testing::step_rows(folder.path("run"))) {
      const json& memory = row.at("memory");
      const auto found = memory.at("device_runtime").get<std::size_t>();
      BOOST_TEST(found >= least);
      BOOST_TEST(found <= least + 8 * graph);  // of each block in each of two slots
      BOOST_TEST((found - least) % graph == 0u);
      BOOST_TEST(memory.at("device_runtime_scope") == "board");
      BOOST_TEST(memory.at("runtime").get<std::int64_t>() > 0);
      ++steps;
    }
    BOOST_TEST(steps == 48);
  }
}

BOOST_FIXTURE_TEST_CASE(plan_measures_what_a_small_step_loads, CostlyCuda) {
  const TemporaryFolder folder;
  const std::string run = folder.path("run"), output = folder.path("output");
  BOOST_REQUIRE_EQUAL(train_on_gpu(run), 0);
  for (const char* precision : {"model.precision=float32", "model.precision=bfloat16"}) {
    PlanArguments arguments;
    arguments.config = run + ".yaml";
    arguments.overrides = {"parallel.device=cuda", "model.patch=4", precision};
    arguments.json = true;
    const emulated_gpu::Counts before = emulated_gpu::counts();
    const json cuda = json::parse(printed(output, [&] { plan_command(arguments); })).at("cuda_runtime");
    BOOST_TEST(cuda.at("bytes") == context + library + graph);
    BOOST_TEST(cuda.at("scope") == "board");
    BOOST_TEST(cuda.at("device") == "emulated GPU");
    BOOST_TEST(!cuda.at("reason").is_null());  // why not of the process alone
    BOOST_TEST(emulated_gpu::counts().graph_launches == before.graph_launches + 1);
    BOOST_TEST(emulated_gpu::memory_taken() == 0u);
    arguments.json = false;
    const std::string text = printed(output, [&] { plan_command(arguments); });
    BOOST_TEST(text.find("take at most 103.00 MiB more in each process") != std::string::npos, text);
  }
}

BOOST_FIXTURE_TEST_CASE(plan_says_why_it_is_not_known, CostlyCuda) {
  const TemporaryFolder folder;
  const std::string run = folder.path("run"), output = folder.path("output");
  BOOST_REQUIRE_EQUAL(train_on_gpu(run), 0);
  PlanArguments arguments;
  arguments.config = run + ".yaml";
  arguments.json = true;
  const auto reason = [&](const std::string& device) {
    arguments.overrides = {"model.patch=4", "parallel.device=" + device};
    const json cuda = json::parse(printed(output, [&] { plan_command(arguments); })).at("cuda_runtime");
    BOOST_TEST(cuda.at("bytes").is_null());
    BOOST_TEST(cuda.at("scope").is_null());
    return cuda.at("reason").get<std::string>();
  };
  BOOST_TEST(reason("cpu") == "this plan is for CPUs");
  emulated_gpu::settings().memory_bytes = context + kernels::ops_scratch_bytes + 4096;
  BOOST_TEST(reason("cuda").find("cannot take") != std::string::npos);
  emulated_gpu::settings().devices = 0;
  BOOST_TEST(reason("cuda").find("no CUDA device is usable here") != std::string::npos);
  arguments.json = false;
  const std::string text = printed(output, [&] { plan_command(arguments); });
  BOOST_TEST(text.find("how much is not known here") != std::string::npos, text);
}

BOOST_FIXTURE_TEST_CASE(a_run_that_does_not_fit_beside_cuda_is_refused, CostlyCuda) {
  const TemporaryFolder folder;
  BOOST_REQUIRE_EQUAL(train_on_gpu(folder.path("first")), 0);
  const Config config = config_of(folder.path("first"));
  const Plan plan = make_plan(config, load_data_facts(RunPaths{folder.path("first")}.data()).layout(), 1);
  const std::size_t needed =
      plan.ranks.front().bytes.on_device(true) + kernels::ops_scratch_bytes + context + library + graph;
  emulated_gpu::settings().memory_bytes = needed - 1;
  BOOST_CHECK_EXCEPTION(train_on_gpu(folder.path("refused")), InputError, [](const InputError& e) {
    return std::string(e.what()).find("emulated GPU") != std::string::npos;
  });
  BOOST_TEST(emulated_gpu::memory_taken() == 0u);
  emulated_gpu::settings().memory_bytes = needed;
  BOOST_TEST(train_on_gpu(folder.path("fits")) == 0);
}

}  // namespace blocktrain::trainer
