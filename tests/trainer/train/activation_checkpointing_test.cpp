// parallel.activation_checkpointing: planned memory is what a run takes, weights keep every bit, a run may go on with
// the other choice.

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>
#include <set>

#include "comm/local/local_world.hpp"
#include "kernels/error.hpp"
#include "support.hpp"
#include "trainer/plan/memory_check.hpp"
#include "trainer/plan/plan.hpp"
#include "trainer/support/stop_signal.hpp"
#include "trainer/tasks/images/image_layout.hpp"

namespace blocktrain::trainer {
namespace {

using testing::final_digests;
using testing::TemporaryFolder;
using testing::train_small;

const std::string layer = "parallel.activation_checkpointing=layer";
const blocks::SampleLayout digits = image_layout({1, 8, 8}, 10);

Config config_of(TrainingMode training) {
  Config c;
  c.parallel.device = DeviceChoice::cpu;
  c.model.layers = 6;
  c.model.width = 32;
  c.model.heads = 4;
  c.blocks.count = 3;
  c.blocks.training = training;
  c.data.batch = 10;
  return c;
}

/// Bytes of arenas in the step rows: every row has to have measured what was planned.
std::int64_t bytes_taken(const std::string& run) {
  std::set<std::int64_t> planned;
  for (const auto& row : testing::step_rows(run)) {
    planned.insert(row.at("memory").at("planned").get<std::int64_t>());
    BOOST_TEST(row.at("memory").at("measured") == row.at("memory").at("planned"));
  }
  BOOST_REQUIRE(!planned.empty());
  return *planned.rbegin();
}

BOOST_AUTO_TEST_CASE(a_run_takes_less_memory_and_keeps_every_bit) {
  const TemporaryFolder folder;
  const std::vector<std::vector<std::string>> runs = {
      {"blocks.count=2"}, {"blocks.training=end_to_end"}, {"blocks.training=end_to_end", "data.micro_batch=7"}};
  int n = 0;
  for (std::vector<std::string> overrides : runs) {
    const std::string kept = folder.path("kept-" + std::to_string(n)),
                      lean = folder.path("lean-" + std::to_string(n++));
    BOOST_REQUIRE_EQUAL(train_small(kept, 1, overrides), 0);
    overrides.push_back(layer);
    BOOST_REQUIRE_EQUAL(train_small(lean, 1, overrides), 0);
    BOOST_TEST(final_digests(lean) == final_digests(kept), boost::test_tools::per_element());
    BOOST_TEST(bytes_taken(lean) < bytes_taken(kept));
  }
}

BOOST_AUTO_TEST_CASE(a_run_may_go_on_with_the_other_choice) {
  const TemporaryFolder folder;
  const std::string none = "parallel.activation_checkpointing=none";
  const auto stop = [](OwnedBlock& block, std::int64_t step) {
    if (block.block == 0 && step == 6) request_stop();
  };
  BOOST_REQUIRE_EQUAL(train_small(folder.path("whole"), 2, {"blocks.count=2"}), 0);
  for (const auto& [before, after] : {std::pair(none, layer), std::pair(layer, none)}) {
    const std::string run = folder.path("from-" + before.substr(before.find('=') + 1));
    BOOST_REQUIRE_EQUAL(train_small(run, 2, {"blocks.count=2", before}, false, stop), exit_interrupted);
    BOOST_REQUIRE_EQUAL(train_small(run, 2, {"blocks.count=2", after}, true), 0);
    BOOST_TEST(final_digests(run) == final_digests(folder.path("whole")), boost::test_tools::per_element());
  }
}

BOOST_AUTO_TEST_CASE(a_plan_prices_memory_and_what_is_computed_again) {
  for (const TrainingMode training : {TrainingMode::block_local, TrainingMode::end_to_end}) {
    Config c = config_of(training);
    c.data.micro_batch = 3;
    for (const int world : {1, 3}) {
      const Plan none = plan_with(ActivationCheckpointing::none, c, digits, world);
      const Plan lean = plan_with(ActivationCheckpointing::layer, c, digits, world);
      BOOST_TEST((none.checkpointing == ActivationCheckpointing::none));
      BOOST_TEST((lean.checkpointing == ActivationCheckpointing::layer));
      BOOST_TEST(none.recomputed_flops_per_step() == 0);
      BOOST_TEST(lean.largest_rank_bytes() < none.largest_rank_bytes());
      // The network's own work, which runs are compared by, is the same.
      BOOST_TEST(lean.flops_per_step() == none.flops_per_step());
      for (const BlockPlan& b : lean.blocks) {
        // Passes of a chunk each: all but the last layer of every pass.
        c.parallel.activation_checkpointing = ActivationCheckpointing::layer;
        const double sample = make_block(c, digits, b.place)->recomputed_flops(1);
        BOOST_TEST(b.recomputed_flops_per_step == 10 * sample, boost::test_tools::tolerance(1e-12));
        BOOST_TEST(sample > 0.1 * b.flops.forward);
        BOOST_TEST(sample < b.flops.forward);
      }
      // Every rank's arenas are bound at exactly the bytes planned.
      for (const RankPlan& rank : lean.ranks) {
        const auto device = kernels::make_cpu_device(1);
        RankArenas arenas = RankArenas::take(*device, rank.bytes);
        std::vector<blocks::BlockPlace> places;
        for (const int b : rank.blocks) places.push_back(lean.blocks[static_cast<std::size_t>(b)].place);
        const auto samples = static_cast<std::int64_t>(rank.shard.size());
        bind_blocks(arenas, c, digits, places, std::min<std::int64_t>(3, samples), samples, rank.replicas);
        BOOST_TEST(arenas.peak().activations == rank.bytes.activations);
        BOOST_TEST(arenas.peak().state == rank.bytes.state);
      }
    }
  }
}

/// What is said when `config` meets a machine with `available` bytes.
std::string refusal(const Config& config, std::int64_t available) {
  std::string said;
  comm::run_local_world(1, [&](comm::Communicator& world) {
    try {
      const Plan plan = make_plan(config, digits, 1);
      require_memory(world, comm::map_hosts(world), config, digits, plan,
                     {{"machine", available, 0, "the machine", ""}});
    } catch (const InputError& e) {
      said = e.what();
    }
  });
  return said;
}

BOOST_AUTO_TEST_CASE(where_memory_is_short_the_option_is_named_when_it_helps) {
  const auto total = [](const Config& c) {
    return static_cast<std::int64_t>(make_plan(c, digits, 1).ranks.front().bytes.total());
  };
  const Config c = config_of(TrainingMode::end_to_end);
  Config lean = c, lean_single = c, single = c;
  lean.parallel.activation_checkpointing = ActivationCheckpointing::layer;
  lean_single.parallel.activation_checkpointing = ActivationCheckpointing::layer;
  single.data.micro_batch = lean_single.data.micro_batch = 1;
  BOOST_REQUIRE_LT(total(lean), total(c));
  BOOST_REQUIRE_LT(total(lean_single), total(single));

  BOOST_TEST(refusal(c, total(c)).empty());
  BOOST_TEST(refusal(c, total(c) - 1).find(": " + layer + " or data.micro_batch=5 would fit") != std::string::npos);
  BOOST_TEST(refusal(c, total(lean_single)).find(": " + layer + " with data.micro_batch=1 would fit") !=
             std::string::npos);
  BOOST_TEST(refusal(c, total(lean_single) - 1).find("no data.micro_batch would fit") != std::string::npos);
  // A run that has it on is not told to put it on.
  BOOST_TEST(refusal(lean, total(lean) - 1).find(": data.micro_batch=") != std::string::npos);
}

}  // namespace
}  // namespace blocktrain::trainer
