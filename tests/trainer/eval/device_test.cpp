// Evaluation and generation on a device with memory of its own: the same bits as on the CPU, and what is refused.

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>

#include "tests/pretended_gpu/pretend_gpu.hpp"
#include "tests/trainer/eval/support.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/eval/evaluation_device.hpp"
#include "trainer/eval/heldout_losses.hpp"
#include "trainer/tasks/images/eval_file.hpp"
#include "trainer/tasks/images/evaluation.hpp"
#include "trainer/tasks/images/image_generator.hpp"
#include "trainer/tasks/images/image_samples.hpp"
#include "trainer/tasks/tasks.hpp"

namespace blocktrain::trainer {
using namespace testing;

namespace {

using Json = nlohmann::json;
using Overrides = std::vector<std::string>;

TrainedNetwork on_pretend_gpu(const std::string& run, const Overrides& overrides = {}) {
  return {task_of, run, overrides, std::make_unique<PretendGpu>()};
}

/// What depends on the network alone.
Json results(const EvalResult& result) {
  Json j = Json::parse(to_json(result));
  for (const char* key : {"time", "seconds"}) j.erase(key);
  for (const char* network : {"run", "twin"}) {
    if (j[network].is_null()) continue;
    j[network].erase("computed_on");
    for (auto& g : j[network]["generation"]) g.erase("seconds_per_image");
  }
  return j;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

std::vector<float> images(TrainedNetwork& network, int count, const GenerationSettings& settings) {
  std::vector<std::int32_t> labels;
  for (int i = 0; i < count; ++i) labels.push_back(i % 10);
  return ImageGenerator(network).generate(labels, settings).images;
}

}  // namespace

BOOST_AUTO_TEST_CASE(an_evaluation_on_a_device_finds_the_same) {
  EvalProgress silent(nullptr, false);
  TrainedNetwork run(task_of, small_run(), {}), twin(task_of, small_twin(), {});
  TrainedNetwork gpu_run = on_pretend_gpu(small_run()), gpu_twin = on_pretend_gpu(small_twin());
  const EvalResult on_cpu = evaluate_run(run, &twin, silent), on_gpu = evaluate_run(gpu_run, &gpu_twin, silent);
  BOOST_TEST(results(on_cpu) == results(on_gpu));
  BOOST_TEST(on_cpu.run.computed_on == "the CPU in float32");
  BOOST_TEST(on_gpu.run.computed_on == "Pretended GPU in float32");
  BOOST_TEST(on_gpu.run.denoising.loss > 0);
}

BOOST_AUTO_TEST_CASE(an_evaluation_does_not_depend_on_how_many_images_go_at_a_time) {
  EvalProgress silent(nullptr, false);
  TrainedNetwork whole(task_of, small_run(), {}), few(task_of, small_run(), {"eval.batch=7"});
  TrainedNetwork gpu_few = on_pretend_gpu(small_run(), {"eval.batch=5"});
  BOOST_TEST(whole.batch() == 128);
  BOOST_TEST(few.batch() == 7);
  const Json expected = results(evaluate_run(whole, nullptr, silent));
  BOOST_TEST(expected == results(evaluate_run(few, nullptr, silent)));
  BOOST_TEST(expected == results(evaluate_run(gpu_few, nullptr, silent)));
}

BOOST_AUTO_TEST_CASE(images_of_a_device_are_the_same) {
  TrainedNetwork cpu(task_of, small_run(), {}), gpu = on_pretend_gpu(small_run(), {"eval.batch=8"});
  for (const SamplerKind sampler : {SamplerKind::euler, SamplerKind::heun, SamplerKind::ancestral}) {
    for (const double guidance : {0.0, 1.0, 1.5}) {
      const GenerationSettings settings{5, sampler, guidance, 7};
      BOOST_TEST(same_bits(images(cpu, 21, settings), images(gpu, 21, settings)),
                 "sampler " << static_cast<int>(sampler) << ", guidance " << guidance);
    }
  }
}

BOOST_AUTO_TEST_CASE(more_images_go_at_a_time_on_a_device) {
  const PretendGpu gpu;
  const auto cpu = kernels::make_cpu_device(1);
  Config config;
  BOOST_TEST(evaluation_batch(config, *cpu, 16) == 128);
  BOOST_TEST(evaluation_batch(config, gpu, 16) == 1024);
  BOOST_TEST(evaluation_batch(config, gpu, 256) == 256);
  BOOST_TEST(evaluation_batch(config, gpu, 8192) == 16);
  config.eval.batch = 3;
  BOOST_TEST(evaluation_batch(config, *cpu, 16) == 3);
  BOOST_TEST(evaluation_batch(config, gpu, 16) == 3);
}

BOOST_AUTO_TEST_CASE(what_does_not_fit_is_refused_with_what_would) {
  const auto with_memory = [](std::size_t bytes) {
    return TrainedNetwork(task_of, small_run(), {"eval.batch=64"}, std::make_unique<PretendGpu>(bytes));
  };
  // As much as was planned is enough, and it is all that is taken; a byte less is refused.
  auto owned = std::make_unique<PretendGpu>();
  PretendGpu& gpu = *owned;
  TrainedNetwork network(task_of, small_run(), {"eval.batch=64"}, std::move(owned));
  const std::size_t without_images = gpu.device_bytes;
  const std::size_t sampler = ImageGenerator::device_bytes(image_shape_of(network.data().layout), 64);
  const std::size_t held_out = HeldoutLosses::device_bytes(network.data().layout, 64);
  const std::size_t planned = without_images + std::max(sampler, held_out);
  images(network, 3, {});
  BOOST_TEST(gpu.device_bytes == without_images + sampler);
  measure_denoising(network, *network.open_data(), network.config(), 16);
  BOOST_TEST(gpu.device_bytes == without_images + sampler + held_out);

  BOOST_TEST(with_memory(planned).batch() == 64);
  BOOST_TEST(refuses("eval.batch: 64 images at a time need", [&] { with_memory(planned - 1); }));
  BOOST_TEST(refuses("--set eval.batch=32 would fit", [&] { with_memory(planned - 1); }));
  BOOST_TEST(refuses("--set parallel.device=cpu", [&] { with_memory(1000); }));
}

BOOST_AUTO_TEST_CASE(a_run_of_another_precision_is_computed_in_float32_and_said_so) {
  const TemporaryFolder folder;
  const std::string run = copy_trained_in_bfloat16(folder, "run");
  TrainedNetwork network(task_of, run, {}), same(task_of, small_run(), {});
  BOOST_TEST(network.computed_on() == "the CPU in float32");
  BOOST_REQUIRE(network.warnings().size() == 1U);
  BOOST_TEST(network.warnings().front() ==
             "the run was trained in bfloat16 (model.precision), this is computed on the CPU in float32");
  BOOST_TEST(same_bits(images(network, 3, {}), images(same, 3, {})));
  ExportArguments arguments;
  arguments.run = run;
  BOOST_TEST(export_command(arguments) == 0);
}

BOOST_AUTO_TEST_CASE(a_device_that_is_not_there_is_refused) {
  const auto refused = [](const std::string& part, const Overrides& overrides) {
    GenerateArguments generate;
    generate.run = small_run();
    generate.overrides = overrides;
    EvalArguments eval;
    eval.run = small_run();
    eval.overrides = overrides;
    return refuses(part, [&] { generate_command(generate); }) && refuses(part, [&] { eval_command(eval); });
  };
  BOOST_TEST(refused("parallel.device: found \"gpu\" (did you mean cpu?); accepted: auto, cpu, cuda",
                     {"parallel.device=gpu"}));
  BOOST_TEST(refused("eval.batch", {"eval.batch=-1"}));
  if (kernels::cuda_devices(nullptr) > 0) return;
  BOOST_TEST(refused("parallel.device: cuda was asked for, but", {"parallel.device=cuda"}));
  BOOST_TEST(refused("--set parallel.device=cpu", {"parallel.device=cuda"}));
  BOOST_TEST(TrainedNetwork(task_of, small_run(), {"parallel.device=auto"}).computed_on() == "the CPU in float32");
}

}  // namespace blocktrain::trainer
