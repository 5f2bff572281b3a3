// Who takes over which block, message by message.

#include "trainer/coordinator/rebalancer.hpp"

#include <boost/test/unit_test.hpp>
#include <set>
#include <string>
#include <utility>

#include "trainer/tasks/images/image_layout.hpp"

namespace blocktrain::trainer {
namespace {

const blocks::SampleLayout digits = image_layout({1, 8, 8}, 10);

/// A rebalancer of `blocks` blocks on `world` ranks, each with 100 steps to take, whose messages are kept as text.
struct Table {
  Plan plan;
  std::vector<std::string> said;
  std::set<std::pair<int, int>> too_small;  ///< ranks and the blocks that do not fit there
  std::unique_ptr<Rebalancer> rebalancer;

  Table(int blocks, int world, std::vector<std::int64_t> steps = {}, std::vector<int> layers = {}) {
    Config config;
    config.model.layers = 0;
    config.blocks.count = blocks;
    config.blocks.layers = layers.empty() ? std::vector<int>(static_cast<std::size_t>(blocks), 1) : layers;
    for (const int l : config.blocks.layers) config.model.layers += l;
    config.model.width = 16;
    config.model.heads = 2;
    plan = make_plan(config, digits, world);
    steps.resize(static_cast<std::size_t>(blocks));
    RebalancerSettings settings;
    settings.fits = [this](int rank, int block) { return !too_small.contains({rank, block}); };
    settings.send = [this](int rank, const Control& c) { said.push_back(text(rank, c)); };
    settings.steps = 100;
    settings.worth_steps = 10;
    rebalancer = std::make_unique<Rebalancer>(plan, steps, settings);
  }
  static std::string text(int rank, const Control& c) {
    const std::string block = std::to_string(c.block), to = std::to_string(rank), other = std::to_string(c.rank);
    switch (c.kind) {
      case ControlKind::migration_request:
        return "request " + std::to_string(c.code) + ": " + to + " sends " + block + " to " + other;
      case ControlKind::receive_block:
        return to + " receives " + block + " from " + other + " at " + std::to_string(c.step) + ", saved at " +
               std::to_string(c.saved);
      case ControlKind::no_block:
        return to + " gets none";
      default:
        return "?";
    }
  }
  /// What was said since the last time.
  std::vector<std::string> words() { return std::exchange(said, {}); }
  void expect(const std::vector<std::string>& words_now) {
    BOOST_TEST(words() == words_now, boost::test_tools::per_element());
  }
  Rebalancer* operator->() { return rebalancer.get(); }
};

BOOST_AUTO_TEST_CASE(the_first_that_is_done_takes_a_block_and_the_second_finds_none) {
  Table t(4, 3);  // ranks 0, 1, 2 with blocks 0 and 1, 2, 3
  t->progressed(0, 60);
  t->progressed(1, 50);
  t->ended(2);
  t->idle(1);
  t.expect({"request 0: 0 sends 1 to 1"});  // block 1 has more steps left
  t->ended(3);
  t->idle(2);
  t.expect({});  // rank 0 is asked already
  BOOST_TEST(t->owner(1) == 0);
  BOOST_TEST(t->replied(0, 0, true, 54, 40));
  BOOST_TEST(t->owner(1) == 1);
  // Rank 0 has one block left, and so has rank 1.
  t.expect({"1 receives 1 from 0 at 54, saved at 40", "2 gets none"});
  t->ended(1);
  t->idle(1);
  t.expect({"1 gets none"});
  t->ended(0);
  t->idle(0);
  t.expect({"0 gets none"});
}

BOOST_AUTO_TEST_CASE(the_rank_with_the_most_work_left_gives) {
  Table t(6, 4, {}, {2, 1, 1, 1, 1, 1});  // ranks with blocks 0 and 1, 2 and 3, 4, 5
  t->progressed(0, 60);
  t->progressed(1, 50);
  t->progressed(2, 40);
  t->progressed(3, 40);
  t->ended(4);
  t->idle(2);
  // 40 steps of two layers and 50 of one, against 60 and 60 of one.
  t.expect({"request 0: 0 sends 1 to 2"});
  t->ended(5);
  t->idle(3);
  t.expect({"request 1: 1 sends 2 to 3"});
}

BOOST_AUTO_TEST_CASE(a_block_that_does_not_fit_or_is_nearly_done_stays) {
  Table t(4, 3);
  t.too_small = {{1, 0}};
  t->progressed(0, 20);
  t->progressed(1, 91);
  t->ended(2);
  t->idle(1);
  t.expect({"1 gets none"});  // block 0 does not fit, block 1 has 9 steps left
  t->ended(3);
  t->idle(2);
  t.expect({"request 0: 0 sends 0 to 2"});
}

BOOST_AUTO_TEST_CASE(an_owner_that_keeps_is_asked_for_what_is_left) {
  Table t(3, 2, {0, 0, 95});  // ranks with blocks 0 and 1, 2
  t->ended(2);
  t->idle(1);
  t.expect({"request 0: 0 sends 0 to 1"});
  t->ended(0);  // failed, before the request was seen: one block is left
  t.expect({});
  BOOST_TEST(!t->replied(0, 0, false, 0, 0));
  t.expect({"1 gets none"});
}

BOOST_AUTO_TEST_CASE(a_request_ends_with_its_owner_and_replies_to_it_are_none) {
  Table t(5, 3);  // ranks with blocks 0 and 1, 2 and 3, 4
  t->progressed(2, 10);
  t->progressed(3, 10);
  t->ended(4);
  t->idle(2);
  t.expect({"request 0: 0 sends 0 to 2"});
  // It never said how its blocks ended. The next one that has two is asked instead.
  t->gone(0);
  t.expect({"request 1: 1 sends 2 to 2"});
  BOOST_TEST(!t->replied(0, 0, true, 30, 0));
  t->gone(1);
  t.expect({"2 gets none"});
  BOOST_TEST(t->owner(0) == 0);
}

BOOST_AUTO_TEST_CASE(a_rank_that_waits_itself_has_given_nothing) {
  Table t(4, 3);
  t->ended(2);
  t->idle(1);
  t.expect({"request 0: 0 sends 0 to 1"});
  t->ended(0);
  t->ended(1);
  t->idle(0);  // it never saw the request
  t.expect({"0 gets none", "1 gets none"});
  BOOST_TEST(!t->replied(0, 0, false, 0, 0));
}

BOOST_AUTO_TEST_CASE(nothing_moves_once_the_run_ends) {
  Table t(4, 3);
  t->ended(2);
  t->idle(1);
  t.expect({"request 0: 0 sends 0 to 1"});
  t->stop();
  t.expect({});  // rank 0 may be giving at this moment
  t->ended(3);
  t->idle(2);
  t.expect({"2 gets none"});
  BOOST_TEST(t->replied(0, 0, true, 8, -1));
  t.expect({"1 receives 0 from 0 at 8, saved at -1"});
  t->ended(0);
  t->idle(1);
  t.expect({"1 gets none"});
}

BOOST_AUTO_TEST_CASE(ranks_can_take_what_their_arenas_hold) {
  Config config;
  config.model.layers = 5;
  config.model.width = 16;
  config.model.heads = 2;
  config.blocks.count = 4;
  config.blocks.layers = {1, 1, 2, 1};
  const Plan plan = make_plan(config, digits, 3);  // blocks 0 and 1, 2, 3
  BOOST_TEST(plan.rebalances);
  BOOST_TEST(rank_can_take(plan, config, digits, 1, 0));   // as large as one of two layers
  BOOST_TEST(!rank_can_take(plan, config, digits, 2, 2));  // one layer's room
  BOOST_TEST(!rank_can_take(plan, config, digits, 0, 2));  // room for two states, but not for two layers' activations
  BOOST_TEST(rank_can_take(plan, config, digits, 2, 1));
  for (const int world : {1, 4, 6}) BOOST_TEST(!make_plan(config, digits, world).rebalances);
  config.parallel.rebalance = false;
  BOOST_TEST(!make_plan(config, digits, 3).rebalances);
}

}  // namespace
}  // namespace blocktrain::trainer
