// Held-out losses while a block trains: what is drawn for them, and of which images and weights they are the mean.

#include "trainer/worker/heldout.hpp"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <memory>
#include <tuple>
#include <vector>

#include "blocks/architectures/dit_options.hpp"
#include "blocks/objectives/gaussian_options.hpp"
#include "blocks/parameters.hpp"
#include "tests/pretended_gpu/pretend_gpu.hpp"
#include "trainer/data/batch_loader.hpp"
#include "trainer/plan/plan.hpp"
#include "trainer/tasks/images/image_layout.hpp"
#include "trainer/tasks/images/image_samples.hpp"
#include "trainer/worker/block_slots.hpp"
#include "trainer/worker/block_step.hpp"

namespace blocktrain::trainer {
namespace {

using kernels::Purpose;
using kernels::RandomKey;
using testing::PretendGpu;

const blocks::SampleLayout digits = image_layout({1, 8, 8}, 10);

Config config_of(DeviceChoice device) {
  Config c;
  c.seed = 11;
  c.parallel.device = device;
  c.model.layers = 2;
  c.model.width = 16;
  c.model.heads = 2;
  c.architecture.as<blocks::DitOptions>().patch = 4;
  c.blocks.count = 2;
  c.data.batch = 6;
  c.data.micro_batch = 4;
  c.eval.every_steps = 1;
  c.eval.heldout = 10;
  return c;
}

ImageSamples images() {
  return {ImageDataset::open(std::string(std::getenv("BLOCKTRAIN_TEST_SOURCE_DIR")) + "/tests/fixtures/digits"),
          "digits", true};
}

/// The second of two blocks, with the memory for steps and held-out losses.
struct Bench {
  kernels::Device& device;
  Config config;
  Plan plan = make_plan(config, digits, 2);
  RankArenas arenas = RankArenas::take(device, plan.ranks[1].bytes);
  std::vector<OwnedBlock> owned;
  HeldoutMemory heldout;
  blocks::Batch batch;
  std::unique_ptr<BlockSlots> slots;
  ImageSamples data = images();

  Bench(kernels::Device& on, const Config& c) : device(on), config(c) {
    owned = bind_blocks(arenas, config, digits, {plan.blocks[1].place}, plan.micro_batch, plan.batch, 1);
    heldout = HeldoutMemory::bind(arenas, on_gpu(config), digits, *block().network, plan.micro_batch);
    BatchLoaderOptions loader;
    loader.batch = loader.end = plan.batch;
    batch = bind_loader_batches(arenas.batch, digits, loader).front();
    std::fill_n(batch.fields[image_field].as<float>(), batch.fields[image_field].size(), 0.25f);
    std::fill_n(batch.fields[label_field].as<std::int32_t>(), plan.batch, 3);
    write_schedule(device, block(), training_intervals(config));
    blocks::initialize(block().state.parameters, block().network->parameters(), 3);
    const kernels::Tensor average = block().state.average;
    for (std::int64_t i = 0; i < average.size(); ++i)
      average.as<float>()[i] = 0.5f * block().state.parameters.as<float>()[i] + 0.01f;
    slots = std::make_unique<BlockSlots>(device, owned);
    slots->enter(block());
  }
  OwnedBlock& block() { return owned.front(); }
  HeldoutLoss measure() { return measure_heldout(device, data, config, block(), heldout); }

  /// The same for one image at a time by `weights`, as the header says it. On a CPU.
  HeldoutLoss by_hand(const kernels::Tensor& weights, std::int64_t count) {
    kernels::Arena arena = kernels::Arena::host("by hand", 1 << 16);
    const kernels::StepState first_step;
    const kernels::Tensor image = arena.allocate(kernels::DType::float32, {1, 1, 8, 8});
    const kernels::Tensor label = arena.allocate(kernels::DType::int32, {1});
    const kernels::Tensor sigma = arena.allocate(kernels::DType::float32, {1});
    blocks::EvaluationSettings settings;
    settings.seed = config.seed;
    settings.state = &first_step;
    block().network->bind_parameters(weights);
    HeldoutLoss sum;
    for (std::int64_t i = 0; i < count; ++i) {
      fill_image(data.dataset(), Split::heldout, i, false, image.as<float>());
      label.as<std::int32_t>()[0] = data.dataset().label(Split::heldout, i);
      const auto sample = static_cast<std::uint32_t>(i);
      device.ops().draw_sigma(sigma, block().interval(), {config.seed, Purpose::heldout_sigma, 1}, &first_step, sample);
      blocks::Batch one_image;
      one_image.fields = {image, label};
      one_image.first_sample = sample;
      const blocks::SampleLosses one = block().network->evaluate(device.ops(), one_image, sigma, settings);
      sum.loss += one.loss.as<float>()[0] / static_cast<double>(count);
      sum.mse += one.unweighted.as<float>()[0] / static_cast<double>(count);
    }
    block().network->bind_parameters(block().live.weights());
    return sum;
  }
};

std::tuple<std::uint64_t, Purpose, std::uint32_t> words_of(const RandomKey& k) { return {k.seed, k.purpose, k.block}; }

}  // namespace

BOOST_AUTO_TEST_CASE(held_out_levels_repeat_no_numbers_of_training_or_of_the_noise) {
  PretendGpu device;
  Bench bench(device, config_of(DeviceChoice::cuda));
  BlockStepSettings settings;
  settings.seed = bench.config.seed;
  settings.global_batch = bench.plan.batch;
  settings.micro_batch = bench.plan.micro_batch;
  BlockStepper stepper(device, {});
  stepper.begin(bench.block(), bench.batch, settings, false);
  stepper.finish(bench.block());
  std::vector<RandomKey> others = device.backend().sigma_keys;
  BOOST_REQUIRE(!others.empty());
  others.insert(others.end(), device.backend().noise_keys.begin(), device.backend().noise_keys.end());
  device.backend().sigma_keys.clear();
  device.backend().noise_keys.clear();

  bench.measure();
  others.insert(others.end(), device.backend().noise_keys.begin(), device.backend().noise_keys.end());
  BOOST_REQUIRE(!device.backend().sigma_keys.empty());
  for (const RandomKey& level : device.backend().sigma_keys) {
    BOOST_TEST((words_of(level) == std::tuple{std::uint64_t{11}, Purpose::heldout_sigma, std::uint32_t{1}}));
    for (const RandomKey& other : others) BOOST_TEST((words_of(level) != words_of(other)));
  }
}

BOOST_AUTO_TEST_CASE(a_held_out_loss_is_the_mean_over_the_first_held_out_images) {
  const auto device = kernels::make_cpu_device(1);
  for (const std::int64_t images : {1, 10, 1000}) {
    for (const std::int64_t micro_batch : {3, 4}) {
      for (const kernels::LossWeighting weighting : {kernels::LossWeighting::edm, kernels::LossWeighting::none}) {
        Config config = config_of(DeviceChoice::cpu);
        config.eval.heldout = images;
        config.data.micro_batch = micro_batch;
        config.objective.as<blocks::GaussianOptions>().weighting = weighting;
        Bench bench(*device, config);
        const std::int64_t count = std::min<std::int64_t>(images, 20);  // there are no more
        const HeldoutLoss found = bench.measure();
        const HeldoutLoss expected = bench.by_hand(bench.block().state.parameters, count);
        BOOST_TEST(found.samples == count);
        BOOST_TEST(found.loss == expected.loss, boost::test_tools::tolerance(1e-5));
        BOOST_TEST(found.mse == expected.mse, boost::test_tools::tolerance(1e-5));
        BOOST_TEST((found.loss == found.mse) == (weighting == kernels::LossWeighting::none));
        BOOST_TEST(bench.measure().loss == found.loss);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(it_is_of_the_average_where_one_is_kept_and_leaves_the_weights_to_train) {
  const auto cpu = kernels::make_cpu_device(1);
  Config config = config_of(DeviceChoice::cpu);
  config.optimizer.average_decay = 0.9;
  Bench bench(*cpu, config);
  const HeldoutLoss found = bench.measure();
  BOOST_TEST(found.loss == bench.by_hand(bench.block().state.average, 10).loss, boost::test_tools::tolerance(1e-5));
  BOOST_TEST(found.loss != bench.by_hand(bench.block().state.parameters, 10).loss);

  // A step after it is the step without it, on a device with memory of its own as well.
  BlockStepSettings settings;
  settings.seed = config.seed;
  settings.optimizer = config.optimizer;
  settings.global_batch = bench.plan.batch;
  settings.micro_batch = bench.plan.micro_batch;
  const auto loss_of_a_step = [&](kernels::Device& device, DeviceChoice choice, bool measured) {
    Config c = config;
    c.parallel.device = choice;
    Bench b(device, c);
    if (measured) b.measure();
    BlockStepper stepper(device, {});
    stepper.begin(b.block(), b.batch, settings, false);
    return stepper.finish(b.block()).loss_sum;
  };
  const double expected = loss_of_a_step(*cpu, DeviceChoice::cpu, false);
  PretendGpu gpu;
  BOOST_TEST(loss_of_a_step(*cpu, DeviceChoice::cpu, true) == expected);
  BOOST_TEST(loss_of_a_step(gpu, DeviceChoice::cuda, true) == expected);
  BOOST_TEST(loss_of_a_step(gpu, DeviceChoice::cuda, false) == expected);
}

}  // namespace blocktrain::trainer
