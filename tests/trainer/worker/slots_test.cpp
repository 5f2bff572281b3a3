// Blocks that take turns on a device with memory of its own: which of them lie there, and that it changes nothing.

#include <boost/test/unit_test.hpp>
#include <cstring>
#include <vector>

#include "blocks/parameters.hpp"
#include "tests/pretended_gpu/pretend_gpu.hpp"
#include "trainer/data/batch_loader.hpp"
#include "trainer/plan/plan.hpp"
#include "trainer/tasks/images/image_layout.hpp"
#include "trainer/worker/block_slots.hpp"
#include "trainer/worker/block_step.hpp"
#include "trainer/worker/heldout.hpp"

namespace blocktrain::trainer {
namespace {

using testing::PretendGpu;

Config config_of(DeviceChoice device, int blocks) {
  Config c;
  c.parallel.device = device;
  c.model.layers = 7;
  c.model.width = 16;
  c.model.heads = 2;
  c.blocks.count = blocks;
  c.data.batch = 6;
  c.data.micro_batch = 4;
  c.optimizer.average_decay = 0.9;
  c.optimizer.warmup_steps = 2;
  c.budget.steps = 100;
  return c;
}

const blocks::SampleLayout digits = image_layout({1, 8, 8}, 10);

/// Trains all blocks on one rank, `visits` times two steps each in turn; every block's parameters, moments and average,
/// and the sums of its losses.
std::vector<std::vector<float>> train_in_turns(kernels::Device& device, const Config& config, int visits) {
  const Plan plan = make_plan(config, digits, 1);
  const RankPlan& rank = plan.ranks.front();
  RankArenas arenas = RankArenas::take(device, rank.bytes);
  std::vector<blocks::BlockPlace> places;
  for (const BlockPlan& b : plan.blocks) places.push_back(b.place);
  std::vector<OwnedBlock> owned =
      bind_blocks(arenas, config, digits, places, plan.micro_batch, plan.batch, rank.replicas);
  BatchLoaderOptions loader;
  loader.batch = loader.end = plan.batch;
  const blocks::Batch batch = bind_loader_batches(arenas.batch, digits, loader).front();
  write_schedule(device, owned.front(), training_intervals(config));
  for (OwnedBlock& b : owned) {
    blocks::initialize(b.state.parameters, b.network->parameters(), 3);
    std::memcpy(b.state.average.data, b.state.parameters.data, b.state.average.bytes());
  }
  BOOST_TEST((arenas.peak().total() == rank.bytes.total()));

  BlockSlots slots(device, owned);
  BlockStepper stepper(device, {});
  std::vector<std::vector<float>> result(owned.size());
  for (int visit = 0; visit < visits; ++visit) {
    for (std::size_t i = 0; i < owned.size(); ++i) {
      OwnedBlock& b = owned[i];
      slots.enter(b);
      if (owned.size() > 1) slots.expect(owned[(i + 1) % owned.size()]);
      BlockStepSettings s;
      s.seed = 11;
      s.optimizer = config.optimizer;
      s.decay_steps = 100;
      s.global_batch = plan.batch;
      s.micro_batch = plan.micro_batch;
      for (int step = 0; step < 2; ++step) {
        for (std::int64_t e = 0; e < batch.fields[image_field].size(); ++e) {
          batch.fields[image_field].as<float>()[e] = static_cast<float>((e * 7 + b.state.step) % 13) / 6.5f - 1;
        }
        for (std::int64_t n = 0; n < plan.batch; ++n) {
          batch.fields[label_field].as<std::int32_t>()[n] = static_cast<std::int32_t>((n + b.state.step) % 10);
        }
        stepper.begin(b, batch, s, false);
        const StepOutcome outcome = stepper.finish(b);
        BOOST_TEST(outcome.finite);
        result[i].push_back(static_cast<float>(outcome.loss_sum));
        result[i].push_back(static_cast<float>(outcome.mse_sum));
      }
      // As a checkpoint in the middle of a run would.
      if (visit == 1) slots.bring_home(b);
    }
  }
  for (std::size_t i = 0; i < owned.size(); ++i) {
    slots.bring_home(owned[i]);
    const BlockState& s = owned[i].state;
    BOOST_TEST(s.step == 2 * visits);
    for (const kernels::Tensor& t : {s.parameters, s.first_moment, s.second_moment, s.average}) {
      result[i].insert(result[i].end(), t.as<float>(), t.as<float>() + t.size());
    }
  }
  return result;
}

}  // namespace

BOOST_AUTO_TEST_CASE(taking_turns_on_a_device_changes_no_bit) {
  for (const int blocks : {1, 2, 3, 7}) {
    const auto cpu = kernels::make_cpu_device(1);
    PretendGpu gpu;
    const auto expected = train_in_turns(*cpu, config_of(DeviceChoice::cpu, blocks), 4);
    const auto got = train_in_turns(gpu, config_of(DeviceChoice::cuda, blocks), 4);
    BOOST_REQUIRE_EQUAL(expected.size(), got.size());
    for (std::size_t b = 0; b < got.size(); ++b) {
      BOOST_REQUIRE_EQUAL(expected[b].size(), got[b].size());
      BOOST_TEST(std::memcmp(expected[b].data(), got[b].data(), got[b].size() * sizeof(float)) == 0,
                 "block " << b << " of " << blocks << " has other bits when it takes turns on a device");
    }
  }
}

BOOST_AUTO_TEST_CASE(activation_checkpointing_takes_the_planned_bytes_and_changes_no_bit) {
  for (const int blocks : {1, 3}) {
    for (const DeviceChoice choice : {DeviceChoice::cpu, DeviceChoice::cuda}) {
      Config config = config_of(choice, blocks);
      const auto cpu = kernels::make_cpu_device(1);
      PretendGpu gpu;
      kernels::Device& device = choice == DeviceChoice::cuda ? static_cast<kernels::Device&>(gpu) : *cpu;
      const auto expected = train_in_turns(device, config, 2);
      const ArenaBytes before = make_plan(config, digits, 1).ranks[0].bytes;
      config.parallel.activation_checkpointing = ActivationCheckpointing::layer;
      BOOST_TEST((train_in_turns(device, config, 2) == expected));
      const ArenaBytes after = make_plan(config, digits, 1).ranks[0].bytes;
      BOOST_TEST(after.activations < before.activations);
      BOOST_TEST(after.total() - after.activations == before.total() - before.activations);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_device_holds_two_blocks_at_most) {
  const Plan two = make_plan(config_of(DeviceChoice::cuda, 2), digits, 1);
  Config many = config_of(DeviceChoice::cuda, 7);
  many.model.layers = 14;  // blocks of two layers each
  many.blocks.layers = {2, 2, 2, 2, 2, 2, 2};
  Config few = many;
  few.model.layers = 4;
  few.blocks.count = 2;
  few.blocks.layers = {2, 2};
  const ArenaBytes seven = make_plan(many, digits, 1).ranks[0].bytes;
  const ArenaBytes pair = make_plan(few, digits, 1).ranks[0].bytes;
  // Besides the schedule, of which ops read every block's line.
  const auto schedule_bytes = [](std::size_t blocks) {
    kernels::Arena arena = kernels::Arena::measuring("schedule");
    arena.allocate_bytes(blocks * sizeof(kernels::SigmaInterval));
    arena.allocate_bytes(4);  // what follows is aligned
    return arena.peak() - 4;
  };
  BOOST_TEST(seven.on_device(true) - schedule_bytes(7) == pair.on_device(true) - schedule_bytes(2));
  BOOST_TEST(seven.home > 3 * pair.home);
  BOOST_TEST(two.ranks[0].bytes.on_host(true) + two.ranks[0].bytes.on_device(true) == two.ranks[0].bytes.total());
}

BOOST_AUTO_TEST_CASE(a_block_alone_is_copied_once) {
  PretendGpu gpu;
  train_in_turns(gpu, config_of(DeviceChoice::cuda, 1), 4);
  const Plan plan = make_plan(config_of(DeviceChoice::cuda, 1), digits, 1);
  // In once, and home for two checkpoints.
  BOOST_TEST(gpu.copied_bytes < 3 * plan.ranks[0].bytes.home + 1);
  BOOST_TEST(gpu.device_bytes == plan.ranks[0].bytes.on_device(true));
}

}  // namespace blocktrain::trainer
