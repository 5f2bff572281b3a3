// Evaluation and generation on a GPU, where there is one: skipped visibly elsewhere.

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "comm/local/local_world.hpp"
#include "tests/support/needs_gpu.hpp"
#include "tests/trainer/eval/support.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/eval/denoising_losses.hpp"
#include "trainer/tasks/images/image_generator.hpp"
#include "trainer/tasks/tasks.hpp"

namespace blocktrain::trainer {
using namespace testing;

namespace {

const std::string cpu = "parallel.device=cpu", gpu = "parallel.device=cuda";

/// Largest difference of a loss to that of the CPU, as a share of it.
double largest_difference(TrainedNetwork& one, TrainedNetwork& other) {
  const DenoisingLosses a = measure_denoising(one, *one.open_data(), one.config(), 16);
  const DenoisingLosses b = measure_denoising(other, *other.open_data(), other.config(), 16);
  double worst = std::max(std::abs(b.loss / a.loss - 1), std::abs(b.mse / a.mse - 1));
  BOOST_REQUIRE_EQUAL(a.levels.size(), b.levels.size());
  for (std::size_t i = 0; i < a.levels.size(); ++i) {
    worst = std::max(worst, std::abs(b.levels[i].loss / a.levels[i].loss - 1));
  }
  return worst;
}

std::vector<float> images(TrainedNetwork& network, const GenerationSettings& settings, int count = 40) {
  std::vector<std::int32_t> labels;
  for (int i = 0; i < count; ++i) labels.push_back(i % 10);
  return ImageGenerator(network).generate(labels, settings).images;
}

/// Root of the mean square of the differences.
double distance(const std::vector<float>& a, const std::vector<float>& b) {
  BOOST_REQUIRE_EQUAL(a.size(), b.size());
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += std::pow(static_cast<double>(a[i]) - b[i], 2);
  return std::sqrt(sum / static_cast<double>(a.size()));
}

BOOST_AUTO_TEST_SUITE(evaluation_on_a_gpu, *boost::unit_test::fixture<NeedsGpu>())

BOOST_AUTO_TEST_CASE(losses_agree_with_the_cpu) {
  for (const std::string& run : {small_run(), small_twin()}) {
    TrainedNetwork on_cpu(task_of, run, {cpu}), on_gpu(task_of, run, {gpu});
    BOOST_TEST(on_gpu.computed_on().find("in float32") != std::string::npos);
    BOOST_TEST(on_gpu.computed_on() != on_cpu.computed_on());
    BOOST_TEST(largest_difference(on_cpu, on_gpu) < 1e-4);
  }
}

BOOST_AUTO_TEST_CASE(images_agree_with_the_cpu) {
  TrainedNetwork on_cpu(task_of, small_run(), {cpu}), on_gpu(task_of, small_run(), {gpu}),
      in_parts(task_of, small_run(), {gpu, "eval.batch=7"});
  for (const SamplerKind sampler : {SamplerKind::euler, SamplerKind::heun, SamplerKind::ancestral}) {
    const GenerationSettings settings{6, sampler, 1.5, 7};
    const std::vector<float> expected = images(on_cpu, settings), got = images(on_gpu, settings);
    // Pixels go from -1 to 1; rounding grows over the steps.
    BOOST_TEST(distance(expected, got) < 1e-3);
    BOOST_TEST(distance(got, images(in_parts, settings)) < 1e-3);
    BOOST_TEST(got == images(on_gpu, settings), "the same call made other images");
  }
}

BOOST_AUTO_TEST_CASE(bfloat16_agrees_roughly_with_float32) {
  const TemporaryFolder folder;
  const std::string run = copy_trained_in_bfloat16(folder, "run");
  TrainedNetwork on_cpu(task_of, run, {cpu}), on_gpu(task_of, run, {gpu});
  BOOST_TEST(on_gpu.computed_on().find("in bfloat16") != std::string::npos);
  BOOST_TEST(on_gpu.warnings().empty());
  const double difference = largest_difference(on_cpu, on_gpu);
  BOOST_TEST(difference < 0.05);
  BOOST_TEST(difference > 1e-7);  // it did compute in bfloat16
  const GenerationSettings settings{6, SamplerKind::euler, 1, 7};
  BOOST_TEST(distance(images(on_cpu, settings), images(on_gpu, settings)) < 0.1);
}

BOOST_AUTO_TEST_CASE(ranks_that_share_a_gpu_find_the_same) {
  const TemporaryFolder folder;
  const GenerationSettings settings{4, SamplerKind::euler, 1, 7};
  for (const std::string& run : {small_run(), copy_trained_in_bfloat16(folder, "run")}) {
    const std::vector<std::string> overrides{gpu, "eval.batch=4"};
    TrainedNetwork alone(task_of, run, overrides);
    const DenoisingLosses expected = measure_denoising(alone, *alone.open_data(), alone.config(), 4);
    const std::vector<float> made = images(alone, settings, 10);
    DenoisingLosses losses;
    std::vector<float> together;
    comm::run_local_world(2, [&](comm::Communicator& world) {
      EvaluationRanks ranks(world, std::chrono::minutes(1));
      TrainedNetwork network(task_of, ranks, run, overrides);
      const DenoisingLosses mine = measure_denoising(network, *network.open_data(), network.config(), 4);
      std::vector<float> my_images = images(network, settings, 10);
      if (ranks.leads()) {
        losses = mine;
        together = std::move(my_images);
      }
      ranks.finish();
    });
    BOOST_TEST(together == made);
    BOOST_TEST(losses.loss == expected.loss);
    BOOST_TEST(losses.mse == expected.mse);
    BOOST_REQUIRE_EQUAL(losses.levels.size(), expected.levels.size());
    for (std::size_t i = 0; i < expected.levels.size(); ++i) {
      BOOST_TEST(losses.levels[i].loss == expected.levels[i].loss);
    }
  }
}

BOOST_AUTO_TEST_CASE(the_commands_compute_there) {
  const TemporaryFolder folder;
  const std::string run = copy_of_run(folder, "run");
  EvalArguments eval;
  eval.run = run;
  eval.twin = small_twin();
  eval.overrides = {gpu};
  BOOST_TEST(eval_command(eval) == 0);
  const auto found = nlohmann::json::parse(read_file(run + "/eval.json"));
  BOOST_TEST(found.at("run").at("computed_on").get<std::string>() != "the CPU in float32");
  GenerateArguments generate;
  generate.run = run;
  generate.count = 10;
  generate.overrides = {"parallel.device=auto"};
  BOOST_TEST(generate_command(generate) == 0);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace blocktrain::trainer
