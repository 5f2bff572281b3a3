// What only an emulated GPU can show of a training: its memory to the byte, its graphs, other libraries, other timing.
#include "tests/emulated_gpu/emulated_gpu.hpp"

#include <boost/test/unit_test.hpp>

#include "kernels/gpu_scratch.hpp"
#include "support.hpp"
#include "tests/emulated_gpu/memory.hpp"
#include "trainer/data/data_facts.hpp"
#include "trainer/plan/plan.hpp"
#include "trainer/run_folder/run_folder.hpp"

namespace blocktrain::trainer {
namespace {

using testing::final_digests;
using testing::TemporaryFolder;

/// Settings of the emulated GPU that end with a test.
struct ChangedSettings {
  ~ChangedSettings() { emulated_gpu::settings() = {}; }
};

int train_on_gpu(const std::string& run, std::vector<std::string> more = {}) {
  more.insert(more.end(), {"parallel.device=cuda", "model.patch=4"});
  return testing::train_small(run, 1, std::move(more));
}

}  // namespace

BOOST_AUTO_TEST_CASE(memory_is_what_plan_says) {
  for (const std::string checkpointing : {"none", "layer"}) {
    const TemporaryFolder folder;
    const std::string run = folder.path("run");
    const std::vector<std::string> options{"parallel.activation_checkpointing=" + checkpointing,
                                           "model.precision=bfloat16", "eval.every_steps=6"};
    const std::size_t before = emulated_gpu::memory_taken();
    emulated_gpu::start_memory_peak();
    BOOST_REQUIRE_EQUAL(train_on_gpu(run, options), 0);
    Config config = load_run_config(run);
    config.parallel.device = DeviceChoice::cuda;
    const Plan plan = make_plan(config, load_data_facts(RunPaths{run}.data()).layout(), 1);
    const std::size_t planned = plan.ranks.front().bytes.on_device(true);
    BOOST_TEST(planned > 0);
    // Beside the arenas the ops' scratch alone: these attention kernels need none.
    BOOST_TEST(emulated_gpu::memory_peak() - before == planned + kernels::ops_scratch_bytes);
    BOOST_TEST(emulated_gpu::memory_taken() == before);
  }
}

BOOST_AUTO_TEST_CASE(all_steps_but_the_first_of_each_kind_are_graphs) {
  const TemporaryFolder folder;
  const emulated_gpu::Counts before = emulated_gpu::counts();
  BOOST_REQUIRE_EQUAL(train_on_gpu(folder.path("run")), 0);
  const emulated_gpu::Counts after = emulated_gpu::counts();
  // 4 blocks of 12 steps; one graph for a block in each of two slots at most, whose first call captures nothing. And
  // one of the probe's two steps.
  BOOST_TEST(after.graph_launches - before.graph_launches >= 48u - 8 + 1);
  BOOST_TEST(after.graph_launches - before.graph_launches <= 48u - 4 + 1);
  // Without graphs the same steps.
  BOOST_REQUIRE_EQUAL(train_on_gpu(folder.path("asked"), {"parallel.cuda_graphs=false"}), 0);
  BOOST_TEST(emulated_gpu::counts().graph_launches == after.graph_launches);
  BOOST_TEST(final_digests(folder.path("asked")) == final_digests(folder.path("run")),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(when_work_is_done_changes_nothing) {
  const TemporaryFolder folder;
  const ChangedSettings changed;
  BOOST_REQUIRE_EQUAL(train_on_gpu(folder.path("late")), 0);
  emulated_gpu::settings().late = false;
  BOOST_REQUIRE_EQUAL(train_on_gpu(folder.path("at-once")), 0);
  BOOST_TEST(final_digests(folder.path("late")) == final_digests(folder.path("at-once")),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_library_that_has_no_algorithm_is_done_without) {
  const TemporaryFolder folder;
  const ChangedSettings changed;
  for (const std::string precision : {"model.precision=float32", "model.precision=bfloat16"}) {
    emulated_gpu::settings() = {};
    const emulated_gpu::Counts start = emulated_gpu::counts();
    BOOST_REQUIRE_EQUAL(train_on_gpu(folder.path("with-" + precision), {precision}), 0);
    BOOST_TEST(emulated_gpu::counts().fused_ends > start.fused_ends);
    emulated_gpu::settings().gelu_ends = false;
    BOOST_REQUIRE_EQUAL(train_on_gpu(folder.path("no-ends-" + precision), {precision}), 0);
    emulated_gpu::settings().products = false;
    const emulated_gpu::Counts before = emulated_gpu::counts();
    BOOST_REQUIRE_EQUAL(train_on_gpu(folder.path("none-" + precision), {precision}), 0);
    BOOST_TEST(emulated_gpu::counts().products == before.products);
  }
}

BOOST_AUTO_TEST_CASE(too_little_memory_is_said_before_anything_starts) {
  const TemporaryFolder folder;
  const ChangedSettings changed;
  emulated_gpu::settings().memory_bytes = kernels::ops_scratch_bytes + (std::size_t{64} << 10);
  BOOST_CHECK_EXCEPTION(train_on_gpu(folder.path("run")), InputError, [](const InputError& e) {
    return std::string(e.what()).find("emulated GPU") != std::string::npos;
  });
  BOOST_TEST(emulated_gpu::memory_taken() == 0u);
}

}  // namespace blocktrain::trainer
