// The small pure parts of a run: learning rate, plan, messages, what rank 0 shares, units, run folder.

#include <atomic>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "blocks/architectures/dit_options.hpp"
#include "comm/local/local_world.hpp"
#include "kernels/error.hpp"
#include "support.hpp"
#include "trainer/exchange/messages.hpp"
#include "trainer/plan/learning_rate.hpp"
#include "trainer/plan/plan.hpp"
#include "trainer/run_folder/run_folder.hpp"
#include "trainer/run_folder/run_lock.hpp"
#include "trainer/support/share.hpp"
#include "trainer/support/units.hpp"
#include "trainer/tasks/images/image_layout.hpp"

namespace blocktrain::trainer {
namespace {

Config small_config() {
  Config c;
  c.model.layers = 6;
  c.model.width = 32;
  c.model.heads = 4;
  c.blocks.count = 3;
  c.data.batch = 10;
  return c;
}

const blocks::SampleLayout digits = image_layout({1, 8, 8}, 10);

BOOST_AUTO_TEST_CASE(learning_rate_warms_up_and_decays) {
  OptimizerConfig o;
  o.learning_rate = 0.5;
  o.warmup_steps = 3;
  o.final_fraction = 0.1;
  const double tight = 1e-12;
  BOOST_TEST(learning_rate(o, 13, 0) == 0.125, boost::test_tools::tolerance(tight));
  BOOST_TEST(learning_rate(o, 13, 2) == 0.375, boost::test_tools::tolerance(tight));
  BOOST_TEST(learning_rate(o, 13, 3) == 0.5, boost::test_tools::tolerance(tight));
  BOOST_TEST(learning_rate(o, 13, 8) == 0.05 + 0.45 * 0.5, boost::test_tools::tolerance(tight));
  BOOST_TEST(learning_rate(o, 13, 13) == 0.05, boost::test_tools::tolerance(tight));
  BOOST_TEST(learning_rate(o, 13, 1000) == 0.05, boost::test_tools::tolerance(tight));
  BOOST_TEST(learning_rate(o, 0, 1000) == 0.5, boost::test_tools::tolerance(tight));
}

BOOST_AUTO_TEST_CASE(the_cosine_falls_at_every_step_and_ends_where_it_is_told) {
  OptimizerConfig o;
  o.learning_rate = 0.5;
  o.final_fraction = 0.1;
  for (const int warmup : {0, 3}) {
    o.warmup_steps = warmup;
    const std::int64_t decay = 13, falls = decay - warmup;
    for (std::int64_t step = warmup; step <= decay; ++step) {
      // cos^2 of half the angle: the same half cosine, written otherwise.
      const double root =
          std::cos(std::acos(-1.0) / 2 * static_cast<double>(step - warmup) / static_cast<double>(falls));
      BOOST_TEST(learning_rate(o, decay, step) == 0.05 + 0.45 * root * root, boost::test_tools::tolerance(1e-12));
      BOOST_TEST(learning_rate(o, decay, step) > learning_rate(o, decay, step + 1) - (step == decay ? 1e-9 : 0.0));
    }
  }
  // The last update of a run still moves the weights; the step after it would not.
  o.warmup_steps = 0;
  o.final_fraction = 0;
  BOOST_TEST(learning_rate(o, 4, 3) > 0.07);
  BOOST_TEST(learning_rate(o, 4, 4) == 0);
  // Warm-up goes before a decay that ends within it, and no decay is no decay.
  o.warmup_steps = 10;
  BOOST_TEST(learning_rate(o, 5, 7) == 0.5 * 8 / 11, boost::test_tools::tolerance(1e-12));
  BOOST_TEST(learning_rate(o, 5, 10) == 0);
  BOOST_TEST(learning_rate(o, 0, 10) == 0.5);
  BOOST_TEST(learning_rate(o, 0, 11) == 0.5);
}

BOOST_AUTO_TEST_CASE(a_decay_over_the_whole_run_follows_its_budget) {
  Config c;
  c.budget.steps = 70;
  c.optimizer.decay_steps = -1;
  BOOST_TEST(resolved_decay_steps(c) == 70);
  for (const int steps : {0, 1, 100}) {
    c.optimizer.decay_steps = steps;
    BOOST_TEST(resolved_decay_steps(c) == steps);
  }
}

BOOST_AUTO_TEST_CASE(uneven_blocks_and_ranks_are_planned) {
  Config c = small_config();
  c.blocks.layers = {3, 1, 2};
  const Plan plan = make_plan(c, digits, 5);
  BOOST_REQUIRE_EQUAL(plan.blocks.size(), 3u);
  BOOST_TEST(plan.blocks[1].place.first_layer == 3);
  BOOST_TEST(plan.blocks[2].place.first_layer == 4);
  BOOST_TEST(plan.blocks[0].owned.hi == 80.0);
  BOOST_TEST(plan.blocks[2].owned.lo == 0.002);
  BOOST_TEST(plan.blocks[0].owned.lo == plan.blocks[1].owned.hi);
  BOOST_REQUIRE_EQUAL(plan.ranks.size(), 5u);
  BOOST_TEST(plan.ranks[0].replicas == 2);
  BOOST_TEST(plan.ranks[0].shard.size() + plan.ranks[1].shard.size() == 10u);
  BOOST_TEST(plan.ranks[4].replicas == 1);
  BOOST_TEST(plan.ranks[0].bytes.state > plan.ranks[2].bytes.state);
  BOOST_TEST(plan.inter_block_bytes_per_step == 0);
  const Plan twin = end_to_end_twin(c, digits, 1);
  BOOST_TEST(twin.blocks.size() == 1u);
  BOOST_TEST(twin.blocks[0].place.layers == 6);
  BOOST_TEST(twin.flops_per_step() <
             plan.flops_per_step());  // embeddings and heads are there once instead of three times
  BOOST_TEST(plan.flops_per_step() < 1.2 * twin.flops_per_step());
}

BOOST_AUTO_TEST_CASE(passes_are_chosen_of_equal_size) {
  Config c = small_config();
  c.data.batch = 128;
  c.model.width = 128;
  c.architecture.as<blocks::DitOptions>().patch = 4;
  const Plan plan = make_plan(c, image_layout({1, 28, 28}, 10), 1);
  BOOST_TEST(plan.micro_batch == 64);  // 125 images would fill 12 MiB: two passes
  c.data.micro_batch = 100;
  BOOST_TEST(make_plan(c, image_layout({1, 28, 28}, 10), 1).micro_batch == 100);
}

BOOST_AUTO_TEST_CASE(what_does_not_fit_is_refused_by_name) {
  Config c = small_config();
  const auto names = [](const std::string& key) {
    return [key](const InputError& e) { return std::string(e.what()).find(key) != std::string::npos; };
  };
  BOOST_CHECK_EXCEPTION(make_plan(c, digits, 31), InputError, names("data.batch"));
  BOOST_CHECK_EXCEPTION(make_plan(c, image_layout({1, 9, 8}, 10), 1), InputError, names("model.patch"));
}

BOOST_AUTO_TEST_CASE(messages_survive_the_way) {
  Report r;
  r.kind = ReportKind::checkpoint;
  r.block = 3;
  r.step = 1LL << 40;
  r.size = 7;
  r.text = "name";
  r.digest = "00ff";
  r.bytes = {std::byte{1}, std::byte{2}};
  const auto bytes = encode(r);
  const Report back = decode_report(bytes);
  BOOST_TEST(
      (back.kind == r.kind && back.block == 3 && back.step == r.step && back.text == "name" && back.digest == "00ff"));
  BOOST_TEST((back.bytes == r.bytes));
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    BOOST_CHECK_THROW(decode_report(std::span(bytes).first(n)), RunError);
  }
  BOOST_TEST((decode_control(encode(Control{ControlKind::finished, 75})).code == 75));
}

BOOST_AUTO_TEST_CASE(what_rank_0_has_all_get) {
  for (const int ranks : {1, 3}) {
    std::atomic<int> right = 0;
    comm::run_local_world(ranks, [&](comm::Communicator& world) {
      const bool first = world.rank() == 0;
      std::vector<double> numbers(first ? std::vector<double>{1.5, -2} : std::vector<double>{7, 8, 9});
      std::vector<std::string> texts, none(first ? 0 : 2);
      std::string text = "another";
      if (first) {
        texts = {"a", "", "two\nlines", ""};
        text = std::string("b\0c", 3);
      }
      share(world, numbers);
      share(world, texts);
      share(world, none);
      share(world, text);
      right += numbers == std::vector<double>{1.5, -2} && none.empty() && text == std::string("b\0c", 3) &&
               texts == std::vector<std::string>{"a", "", "two\nlines", ""};
    });
    BOOST_TEST(right == ranks);
  }
}

BOOST_AUTO_TEST_CASE(numbers_for_people) {
  BOOST_TEST(bytes(1023) == "1023 B");
  BOOST_TEST(bytes(1536) == "1.50 KiB");
  BOOST_TEST(count(9999) == "9999");
  BOOST_TEST(count(1234567) == "1.23M");
  BOOST_TEST(duration(3.25) == "3.2 s");
  BOOST_TEST(duration(600) == "10 min");
}

BOOST_AUTO_TEST_CASE(a_run_folder_is_inspected_without_touching_it) {
  const testing::TemporaryFolder folder;
  Config c = small_config();
  c.data.path = "somewhere";
  c.log.directory = folder.path("new/deep");
  BOOST_TEST((inspect_run_folder(c, false) == RunFolderState::fresh));
  BOOST_TEST(!std::filesystem::exists(folder.path("new")));
  std::ofstream(folder.path("file")) << "x";
  c.log.directory = folder.path("file/run");
  BOOST_CHECK_THROW(inspect_run_folder(c, false), InputError);
  std::filesystem::create_directory(folder.path("mine"));
  std::ofstream(folder.path("mine/thesis.txt")) << "x";
  c.log.directory = folder.path("mine");
  BOOST_CHECK_THROW(inspect_run_folder(c, true), InputError);
  c.log.directory = folder.path("held");
  create_run_folder(RunPaths{c.log.directory}, c, "{}");
  const RunLock lock(RunPaths{c.log.directory});
  BOOST_CHECK_THROW(RunLock(RunPaths{c.log.directory}), InputError);
  BOOST_TEST((inspect_run_folder(c, true) == RunFolderState::resumable));
}

}  // namespace
}  // namespace blocktrain::trainer
