// Which changes make another experiment.
#include <boost/test/unit_test.hpp>
#include <set>

#include "tests/trainer/config/support.hpp"
#include "trainer/config/describe.hpp"

using namespace blocktrain::trainer;
using namespace blocktrain::trainer::test;

BOOST_AUTO_TEST_SUITE(config_identity)

BOOST_AUTO_TEST_CASE(it_is_a_sha256_in_hexadecimal_and_stays_the_same) {
  const std::string id = experiment_identity(load(""));
  BOOST_TEST(id.size() == 64u);
  BOOST_TEST(id.find_first_not_of("0123456789abcdef") == std::string::npos);
  BOOST_TEST(experiment_identity(load("")) == id);
}

BOOST_AUTO_TEST_CASE(what_changes_the_weights_changes_it_and_nothing_else_does) {
  const std::string id = experiment_identity(load(""));
  const std::vector<std::string> others = {"log.directory=x",
                                           "budget.seconds=5",
                                           "eval.every_steps=5",
                                           "eval.steps=[2]",
                                           "checkpoint.keep=3",
                                           "parallel.threads=2",
                                           "parallel.transport=local",
                                           "parallel.activation_checkpointing=layer",
                                           "parallel.gpu_transport=host",
                                           "parallel.cuda_graphs=false",
                                           "energy.price_usd_per_kwh=1",
                                           "checkpoint.every_steps=9",
                                           "optimizer.decay_steps=1000",  // what -1 means with 1,000 steps
                                           "blocks.layers=[3, 3, 3, 3]",
                                           "blocks.seeds=[0, 0, 0, 0]",  // the defaults, written out
                                           "data.path=e",  // that the data are the same, their digest says
                                           "data.shape=[1, 28, 28]",
                                           "data.classes=10",
                                           "data.format=idx"};
  for (const std::string& other : others) BOOST_TEST(experiment_identity(load("", {other})) == id, other);

  const std::vector<std::string> changes = {"seed=1",
                                            "data.batch=64",
                                            "data.flip=true",
                                            "data.micro_batch=64",
                                            "model.layers=16",
                                            "model.width=192",
                                            "model.heads=4",
                                            "model.patch=4",
                                            "model.mlp_ratio=2",
                                            "model.label_dropout=0.2",
                                            "blocks.count=3",
                                            "blocks.layers=[6, 2, 2, 2]",
                                            "blocks.training=end_to_end",
                                            "blocks.seeds=[0, 0, 0, 1]",
                                            "noise.overlap=0",
                                            "noise.sigma_max=79",
                                            "noise.partition=uniform",
                                            "noise.sampling=uniform_log",
                                            "noise.p_mean=-1",
                                            "noise.p_std=1",
                                            "noise.sigma_data=1",
                                            "noise.sigma_max_fraction=0.1",
                                            "objective.weighting=none",
                                            "optimizer.learning_rate=0.1",
                                            "optimizer.betas=[0.9, 0.99]",
                                            "optimizer.decay_steps=0",
                                            "optimizer.warmup_steps=1",
                                            "optimizer.clip_norm=2",
                                            "budget.steps=2000"};
  std::set<std::string> seen = {id};
  for (const std::string& change : changes)
    BOOST_TEST(seen.insert(experiment_identity(load("", {change}))).second, change);
  // With a decay of its own, a longer run is the same experiment.
  const std::string fixed = "optimizer.decay_steps=500";
  BOOST_TEST(experiment_identity(load("", {fixed, "budget.steps=2000"})) == experiment_identity(load("", {fixed})));
}

BOOST_AUTO_TEST_CASE(layers_are_split_as_evenly_as_can_be) {
  BOOST_TEST((layers_per_block(load("", {"model.layers=10", "blocks.count=4"})) == std::vector<int>{2, 3, 2, 3}));
  BOOST_TEST((layers_per_block(load("", {"model.layers=12", "blocks.count=3"})) == std::vector<int>{4, 4, 4}));
  BOOST_TEST((layers_per_block(load("", {"blocks.layers=[6, 3, 2, 1]"})) == std::vector<int>{6, 3, 2, 1}));
  BOOST_TEST(layers_per_block(load("", {"model.layers=4096", "blocks.count=4096"})).size() == 4096u);
}

BOOST_AUTO_TEST_CASE(blocks_take_their_own_seed_or_the_common_one) {
  BOOST_TEST(block_seed(load("seed: 5"), 3) == 5u);
  BOOST_TEST(block_seed(load("seed: 5\nblocks: {count: 2, seeds: [8, 9]}"), 1) == 9u);
}

BOOST_AUTO_TEST_SUITE_END()
