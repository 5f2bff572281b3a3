// Values that are fine one by one and wrong together, and where the problem is reported.
#include <boost/test/unit_test.hpp>

#include "tests/trainer/config/support.hpp"

using namespace blocktrain::trainer;
using namespace blocktrain::trainer::test;

BOOST_AUTO_TEST_SUITE(config_conflicts)

struct Pair {
  std::string good, bad;  // from line 3 of the file
  std::string said;       // part of the message for `bad`
};

BOOST_AUTO_TEST_CASE(each_rule_refuses_its_conflict_and_nothing_less) {
  const std::vector<Pair> cases = {
      {"model: {layers: 4}\nblocks: {count: 4}", "model: {layers: 4}\nblocks: {count: 5}",
       "t.yaml:4: blocks.count: found more blocks than layers, blocks.count 5 with model.layers 4"},
      {"blocks: {count: 2, layers: [4, 8]}", "blocks: {count: 2, layers: [4, 9]}",
       "found blocks.layers that add up to 13 with model.layers 12"},
      {"blocks: {count: 3, layers: [4, 4, 4]}", "blocks: {count: 2, layers: [4, 4, 4]}",
       "found blocks.layers of 3 blocks with blocks.count 2"},
      {"blocks: {count: 3, seeds: [1, 2, 3]}", "blocks: {count: 4, seeds: [1, 2, 3]}",
       "found 3 blocks.seeds with blocks.count 4"},
      {"model: {width: 96, heads: 6}", "model: {width: 100, heads: 6}",
       "found model.width 100 with model.heads 6; accepted: a width that the heads divide evenly, such as 96"},
      {"model: {width: 5, heads: 5}", "model: {width: 5, heads: 6}", "such as 6"},
      {"noise: {sigma_min: 1, sigma_max: 2}", "noise: {sigma_min: 2, sigma_max: 2}",
       "found noise.sigma_min 2 with noise.sigma_max 2; accepted: a sigma_max that is larger"},
      {"noise: {sigma_min: 1, sigma_max: 2}", "noise: {sigma_min: 2, sigma_max: 1}",
       "noise.sigma_max: found noise.sigma_min 2"},
      {"noise: {p_mean: -1.2, p_std: 0.1}", "noise: {p_mean: 20, p_std: 1}",
       "accepted: a log-normal with at least 0.001 of its probability inside the range"},
      {"noise: {p_mean: 20, p_std: 1, partition: uniform, sampling: uniform_log}",
       "noise: {p_mean: 20, p_std: 1, partition: uniform}", "of its probability inside the range"},
      {"noise: {p_std: 0.1, partition: equal_probability}", "noise: {p_std: 0.1, partition: uniform_log}",
       "accepted: a range within 30 deviations of the log-normal's mean"},
      {"optimizer: {warmup_steps: 10, decay_steps: 10}", "optimizer: {warmup_steps: 11, decay_steps: 10}",
       "found optimizer.warmup_steps 11 with optimizer.decay_steps 10"},
      {"optimizer: {warmup_steps: 11, decay_steps: 0}", "optimizer: {warmup_steps: 11, decay_steps: 1}",
       "found optimizer.warmup_steps 11 with optimizer.decay_steps 1;"},
      {"optimizer: {learning_rate: 0.5, weight_decay: 2}", "optimizer: {learning_rate: 0.5, weight_decay: 2.5}",
       "found optimizer.learning_rate 0.5 times optimizer.weight_decay 2.5"},
      {"eval: {steps: [4, 18]}", "eval: {steps: [18, 4, 18]}",
       "eval.steps: found 18 twice; accepted: each number of steps once"},
      {"eval: {guidance: 2}\nmodel: {label_dropout: 0.1}", "eval: {guidance: 2}\nmodel: {label_dropout: 0}",
       "t.yaml:4: model.label_dropout: found eval.guidance 2 with model.label_dropout 0"},
      {"eval: {guidance: 1}\nmodel: {label_dropout: 0}", "eval: {guidance: 0.5}\nmodel: {label_dropout: 0}",
       "found eval.guidance 0.5"},
      {"model: {architecture: vit}\neval: {steps: [1, 4]}", "model: {architecture: vit}\neval: {steps: [4, 4]}",
       "eval.steps: found 4 twice; accepted: each number of steps once"},
      {"parallel: {ranks: 2, transport: local}", "parallel: {ranks: 2, transport: mpi}",
       "found parallel.ranks 2 with parallel.transport mpi"},
  };
  for (const Pair& pair : cases) {
    BOOST_TEST(problem(pair.good) == "");
    const std::string said = problem(pair.bad);
    BOOST_TEST(contains(said, pair.said), "said: " << said << "\nexpected in it: " << pair.said);
  }
}

BOOST_AUTO_TEST_CASE(a_micro_batch_is_at_most_the_batch) {
  BOOST_TEST(problem("", {"data.batch=8", "data.micro_batch=8"}) == "");
  BOOST_TEST(
      problem("", {"data.batch=8", "data.micro_batch=9"}) ==
      "--set data.micro_batch=9: data.micro_batch: found data.micro_batch 9 with data.batch 8; accepted: at most the "
      "batch, or 0");
}

BOOST_AUTO_TEST_CASE(images_of_four_channels_have_no_colours_to_change) {
  const std::string vit = "model: {architecture: vit, patch: 2}";
  BOOST_TEST(problem(vit, {"data.shape=[3, 8, 8]", "data.rand_augment=2"}) == "");
  BOOST_TEST(problem(vit, {"data.shape=[4, 8, 8]", "data.crop_padding=2"}) == "");
  BOOST_TEST(contains(problem(vit, {"data.shape=[4, 8, 8]", "data.rand_augment=2"}),
                      "found data.rand_augment 2 with images of 4 channels"));
}

BOOST_AUTO_TEST_CASE(a_declared_shape_is_one_that_images_can_have) {
  BOOST_TEST(problem("", {"data.shape=[3, 32, 32]", "data.classes=100", "model.patch=4"}) == "");
  BOOST_TEST(problem("", {"data.shape=[]", "data.classes=0", "model.patch=7"}) == "");
  BOOST_TEST(contains(problem("", {"data.shape=[32, 32]"}),
                      "data.shape: found a list of 2; accepted: channels, height and width"));
  BOOST_TEST(contains(problem("", {"data.shape=[3, 0, 32]"}), "data.shape: found \"0\""));
  BOOST_TEST(contains(problem("", {"data.shape=[1, 4097, 4096]"}), "accepted: at most 16777216 numbers"));
  BOOST_TEST(problem("", {"data.shape=[1, 4096, 4096]"}) == "");
  BOOST_TEST(contains(problem("", {"data.shape=[3, 32, 32]", "model.patch=3"}),
                      "model.patch: found model.patch 3 with images of 32x32 (data.shape)"));
  BOOST_TEST(contains(problem("", {"data.classes=-1"}), "data.classes: found \"-1\""));
}

BOOST_AUTO_TEST_CASE(products_of_sizes_stay_inside_64_bits) {
  const std::vector<std::string> most = {"data.batch=16777216", "model.layers=4096", "model.width=65536",
                                         "model.heads=1"};
  const std::string said = problem("", most);
  BOOST_TEST(contains(said, "= 4503599627370496; accepted: at most 1099511627776"));
  BOOST_TEST(problem("", {"data.batch=4096", "model.layers=4096", "model.width=65536", "model.heads=1"}) == "");
}

BOOST_AUTO_TEST_CASE(a_conflict_is_reported_where_its_last_key_was_given) {
  BOOST_TEST(
      problem("model: {width: 64, heads: 4}", {"model.heads=5"}) ==
      "--set model.heads=5: model.heads: found model.width 64 with model.heads 5; accepted: a width that the heads "
      "divide evenly, such as 60");
  // Against a default, at the key that was given.
  BOOST_TEST(problem("model: {heads: 5}").starts_with("t.yaml:3: model.heads: found model.width 384 with"));
}

BOOST_AUTO_TEST_CASE(conflicts_are_told_all_at_once) {
  const std::string said =
      problem("model: {width: 100, heads: 7, layers: 2}\nblocks: {count: 3}\neval: {steps: [1, 1]}");
  BOOST_TEST(std::count(said.begin(), said.end(), '\n') == 2);
}

BOOST_AUTO_TEST_SUITE_END()
