// Steps of replicas on devices whose transport lets the host go on: two under way, one result.

#include "trainer/worker/block_step.hpp"

#include <boost/test/unit_test.hpp>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "blocks/architectures/dit_options.hpp"
#include "blocks/parameters.hpp"
#include "kernels/error.hpp"
#include "tests/pretended_gpu/pretend_gpu.hpp"
#include "trainer/data/batch_loader.hpp"
#include "trainer/plan/plan.hpp"
#include "trainer/tasks/images/image_layout.hpp"
#include "trainer/worker/block_slots.hpp"

namespace blocktrain::trainer {
namespace {

using testing::PretendGpu;

const blocks::SampleLayout digits = image_layout({1, 8, 8}, 10);

Config small_config() {
  Config c;
  c.parallel.device = DeviceChoice::cuda;
  c.model.layers = 1;
  c.model.width = 16;
  c.model.heads = 2;
  c.architecture.as<blocks::DitOptions>().patch = 4;
  c.blocks.count = 1;
  c.data.batch = 6;
  c.data.micro_batch = 6;
  c.optimizer.warmup_steps = 2;
  return c;
}

/// The only replica that answers; the device has no part in its sum, which is what the gradient is already.
class Alone final : public comm::DeviceCommunicator {
 public:
  explicit Alone(bool early) : early_(early) {}
  int rank() const override { return 0; }
  int size() const override { return 1; }
  const char* transport() const override { return "alone"; }
  bool returns_early() const override { return early_; }
  void all_reduce_sum(std::span<float>, comm::TrafficPurpose, void*) override { ++sums; }
  void broadcast(void*, std::size_t, int, comm::TrafficPurpose, void*) override {}
  void exchange(std::span<const comm::Transfer>, comm::TrafficPurpose, void*) override {}
  bool poll(void*) override {
    ++polls;
    if (lost) throw RunError("a replica is lost");
    return true;
  }
  void wait(void*) override { ++waits; }
  comm::Traffic traffic() const override { return {}; }
  void set_deadline(std::chrono::milliseconds) override {}
  void finish() override {}
  bool abort() noexcept override { return true; }

  int sums = 0, polls = 0, waits = 0;
  bool lost = false;

 private:
  bool early_;
};

/// A block on a pretended GPU, and its stepper.
struct Bench {
  PretendGpu device;
  Config config = small_config();
  Plan plan = make_plan(config, digits, 1);
  RankArenas arenas = RankArenas::take(device, plan.ranks.front().bytes);
  std::vector<OwnedBlock> owned = bind_blocks(arenas, config, digits, {plan.blocks.front().place}, 6, 6, 1);
  blocks::Batch batch;
  BlockStepSettings settings;
  std::unique_ptr<BlockSlots> slots;
  std::unique_ptr<BlockStepper> stepper;

  explicit Bench(comm::DeviceCommunicator* replicas) {
    BatchLoaderOptions loader;
    loader.batch = loader.end = plan.batch;
    batch = bind_loader_batches(arenas.batch, digits, loader).front();
    for (std::int64_t e = 0; e < batch.fields[image_field].size(); ++e)
      batch.fields[image_field].as<float>()[e] = static_cast<float>(e % 13) / 6.5f - 1;
    for (std::int64_t n = 0; n < plan.batch; ++n)
      batch.fields[label_field].as<std::int32_t>()[n] = static_cast<std::int32_t>(n);
    write_schedule(device, block(), training_intervals(config));
    blocks::initialize(block().state.parameters, block().network->parameters(), 3);
    slots = std::make_unique<BlockSlots>(device, owned);
    stepper = std::make_unique<BlockStepper>(device, Replicas{nullptr, replicas});
    settings.seed = 11;
    settings.optimizer = config.optimizer;
    settings.decay_steps = 100;
    settings.global_batch = settings.micro_batch = plan.batch;
    slots->enter(block());
  }
  OwnedBlock& block() { return owned.front(); }
  /// Losses of `steps` steps, as many under way as may be, and then the weights.
  std::vector<double> train(int steps) {
    std::vector<double> result;
    for (int asked = 0; static_cast<int>(result.size()) < steps;) {
      for (; asked < steps && stepper->under_way() < stepper->most_under_way(); ++asked)
        stepper->begin(block(), batch, settings, false);
      result.push_back(stepper->finish(block()).loss_sum);
    }
    slots->bring_home(block());
    const float* const weights = block().state.parameters.as<float>();
    result.insert(result.end(), weights, weights + block().state.parameters.size());
    return result;
  }
};

BOOST_AUTO_TEST_CASE(a_sum_behind_the_gradient_changes_no_bit_and_lets_two_steps_be_under_way) {
  Bench none(nullptr);
  const std::vector<double> expected = none.train(5);
  for (const bool early : {true, false}) {
    Alone replicas(early);
    Bench bench(&replicas);
    BOOST_TEST(bench.stepper->most_under_way() == (early ? 2 : 1));
    BOOST_TEST(bench.stepper->agrees_on_stops());
    BOOST_TEST(bench.train(5) == expected, boost::test_tools::per_element());
    BOOST_TEST(replicas.sums == 5);
    BOOST_TEST(replicas.polls >= 5);  // a lost replica would have shown
    BOOST_TEST(replicas.waits == 0);  // the host has not waited for a sum
  }
  BOOST_TEST(!none.stepper->agrees_on_stops());
}

BOOST_AUTO_TEST_CASE(a_request_to_stop_belongs_to_its_step) {
  Alone replicas(true);
  Bench bench(&replicas);
  bench.stepper->begin(bench.block(), bench.batch, bench.settings, false);
  bench.stepper->begin(bench.block(), bench.batch, bench.settings, true);
  BOOST_TEST(!bench.stepper->finish(bench.block()).stop);
  bench.stepper->begin(bench.block(), bench.batch, bench.settings, false);
  BOOST_TEST(bench.stepper->finish(bench.block()).stop);
  BOOST_TEST(!bench.stepper->finish(bench.block()).stop);
  BOOST_TEST(bench.block().state.step == 3);
}

BOOST_AUTO_TEST_CASE(a_step_behind_one_that_is_not_finite_changes_nothing) {
  Alone replicas(true);
  Bench bench(&replicas);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  bench.device.upload(bench.block().live.parameters.as<float>() + 40, &nan, sizeof(nan));
  bench.stepper->begin(bench.block(), bench.batch, bench.settings, false);
  bench.stepper->begin(bench.block(), bench.batch, bench.settings, false);
  BOOST_TEST(!bench.stepper->finish(bench.block()).finite);
  bench.stepper->discard();
  BOOST_TEST(bench.stepper->under_way() == 0);
  BOOST_TEST(bench.block().state.step == 0);
  bench.slots->bring_home(bench.block());
  Bench untouched(nullptr);
  const std::size_t before = 40 * sizeof(float);
  BOOST_TEST(std::memcmp(bench.block().state.parameters.data, untouched.block().state.parameters.data, before) == 0);
}

BOOST_AUTO_TEST_CASE(a_lost_replica_ends_the_wait_for_a_step) {
  Alone replicas(true);
  Bench bench(&replicas);
  bench.stepper->begin(bench.block(), bench.batch, bench.settings, false);
  replicas.lost = true;
  BOOST_CHECK_THROW(bench.stepper->finish(bench.block()), RunError);
}

}  // namespace
}  // namespace blocktrain::trainer
