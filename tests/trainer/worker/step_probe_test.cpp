// What the probe of a device trains: a small network that takes the same kernels.

#include "trainer/worker/step_probe.hpp"

#include <boost/test/unit_test.hpp>

namespace blocktrain::trainer {
namespace {

Config network(std::int64_t width, int heads) {
  Config c;
  c.model.width = width;
  c.model.heads = heads;
  c.model.layers = 6;
  c.model.precision = kernels::DType::bfloat16;
  c.blocks.count = 3;
  c.blocks.layers = {1, 2, 3};
  c.blocks.seeds = {7, 8, 9};
  c.data.batch = 64;
  c.data.micro_batch = 32;
  c.eval.every_steps = 10;
  return c;
}

BOOST_AUTO_TEST_CASE(a_probe_is_one_layer_on_one_sample) {
  const Config c = probe_config(network(96, 6));
  BOOST_TEST(c.model.layers == 1);
  BOOST_TEST((c.model.precision == kernels::DType::bfloat16));
  BOOST_TEST(c.blocks.count == 1);
  BOOST_TEST(c.blocks.layers.empty());
  BOOST_TEST(c.blocks.seeds.empty());
  BOOST_TEST(c.data.batch == 1);
  BOOST_TEST(c.data.micro_batch == 1);
  BOOST_TEST(c.eval.every_steps == 0);
}

BOOST_AUTO_TEST_CASE(a_probe_has_heads_of_the_same_size_as_few_as_make_a_multiple_of_16) {
  struct Case {
    std::int64_t width;
    int heads;
    std::int64_t probe_width;
    int probe_heads;
  };
  for (const Case& k : {Case{1024, 16, 64, 1},
                        {96, 2, 48, 1},
                        {96, 4, 48, 2},
                        {24, 6, 16, 4},
                        {120, 6, 80, 4},
                        {12, 3, 12, 3},
                        {20, 4, 20, 4},
                        {4, 1, 4, 1}}) {
    const Config c = probe_config(network(k.width, k.heads));
    BOOST_TEST(c.model.width == k.probe_width, k.width << " in " << k.heads << " heads: " << c.model.width);
    BOOST_TEST(c.model.heads == k.probe_heads, k.width << " in " << k.heads << " heads: " << c.model.heads);
  }
}

}  // namespace
}  // namespace blocktrain::trainer
