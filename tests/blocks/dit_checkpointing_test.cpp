// What a layer keeps for its backward pass changes memory and work, and not a bit of any result on the same device.
#include <algorithm>
#include <boost/test/unit_test.hpp>

#include "tests/blocks/support.hpp"

namespace blocktrain::blocks {
namespace {

using kernels::DType;
using test::BoundBlock;
using test::Samples;
using test::values_of;

DitConfig odd_config(std::int64_t rows_at_once) {
  DitConfig c = test::odd_config();
  c.label_dropout = 0.4;
  c.rows_at_once = rows_at_once;
  return c;
}

DitConfig with(DitConfig config, ActivationCheckpointing checkpointing) {
  config.checkpointing = checkpointing;
  return config;
}

/// Also keeps what costs little to compute again, as on a GPU.
DitConfig keeping_cheap(DitConfig config) {
  config.keeps_cheap = true;
  return config;
}

struct Result {
  std::vector<double> sigma, loss, mse, gradient, given_loss, given_gradient;
  bool operator==(const Result&) const = default;
};

void append(std::vector<double>& to, const kernels::Tensor& values) {
  for (const double x : values_of(values)) to.push_back(x);
}

/// A step of `samples` in passes of `micro`, with everything random in it, and then one at given noise and labels.
Result run(kernels::Ops& ops, const DitConfig& c, const BlockPlace& place, std::int64_t samples, std::int64_t micro) {
  BoundBlock d(c, place, ops.dtype(), micro);
  d.randomize(0.2);
  const Samples s(c, ops.dtype(), samples);
  kernels::StepState state;
  state.step = 5;
  StepSettings settings;
  settings.seed = 3;
  const kernels::SigmaInterval interval{0.1f, 2.0f, kernels::SigmaCoordinate::log_sigma, 0, 1, 0, 1, 1, 0, 0};
  settings.interval = &interval;
  settings.global_batch = samples;
  settings.state = &state;
  Result r;
  for (std::int64_t begin = 0; begin < samples; begin += micro) {
    const std::int64_t end = std::min(begin + micro, samples);
    const SampleLosses losses = d->accumulate_gradient(ops, s.batch().rows({begin, end}), settings);
    append(r.sigma, losses.level);
    append(r.loss, losses.loss);
    append(r.mse, losses.unweighted);
  }
  append(r.gradient, d.gradient());
  ops.fill(d.gradient(), 0);
  for (std::int64_t begin = 0; begin < samples; begin += micro) {
    const std::int64_t end = std::min(begin + micro, samples);
    const double scale = 1.0 / static_cast<double>(samples);
    append(r.given_loss, d->accumulate_gradient_at(ops, s.input().rows({begin, end}), scale).loss);
  }
  append(r.given_gradient, d.gradient());
  return r;
}

struct Case {
  BlockPlace place;
  std::int64_t samples, micro, rows_at_once;
};

// 35 tokens: chunks of one, two or three images, of which the last is shorter; a single one; passes with a shorter
// last.
const Case cases[] = {
    {{1, 3, 2, 3}, 7, 7, 70}, {{1, 3, 2, 3}, 7, 7, 100}, {{0, 1, 0, 4}, 7, 7, 1},    {{0, 1, 0, 4}, 7, 7, 2048},
    {{2, 3, 4, 1}, 7, 7, 70}, {{2, 3, 4, 1}, 5, 5, 175}, {{1, 3, 2, 2}, 7, 3, 2048}, {{1, 3, 2, 2}, 7, 5, 70},
};

std::size_t training_bytes(const DitConfig& c, const BlockPlace& place, std::int64_t samples) {
  auto arena = kernels::Arena::measuring("training");
  test::dit_block(c, place)->bind_training(arena, DType::float32, samples);
  return arena.peak();
}

}  // namespace

BOOST_AUTO_TEST_CASE(losses_and_gradients_keep_every_bit) {
  for (const auto& ops : {kernels::make_cpu_ops(1), kernels::make_cpu_ops(3), kernels::make_reference_ops()}) {
    for (const Case& k : cases) {
      std::vector<DitConfig> configs{odd_config(k.rows_at_once)};
      if (ops->dtype() == DType::float32) configs.push_back(keeping_cheap(configs.front()));  // the reference is slow
      for (const DitConfig& c : configs) {
        const Result kept = run(*ops, with(c, ActivationCheckpointing::none), k.place, k.samples, k.micro);
        const Result again = run(*ops, with(c, ActivationCheckpointing::layer), k.place, k.samples, k.micro);
        BOOST_TEST(test::norm(kept.gradient) > 0);
        BOOST_TEST((kept == again), k.place.layers << " layers, " << k.samples << " samples in passes of " << k.micro
                                                   << " and chunks of " << k.rows_at_once << " rows"
                                                   << (c.keeps_cheap ? ", with what is cheap" : ""));
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(what_is_cheap_may_be_kept_or_computed_again) {
  for (const Case& k : cases) {
    const DitConfig c = odd_config(k.rows_at_once);
    if (&k == &cases[0]) {  // the reference computes the GELU by one function everywhere
      const auto exact = kernels::make_reference_ops();
      BOOST_TEST(
          (run(*exact, c, k.place, k.samples, k.micro) == run(*exact, keeping_cheap(c), k.place, k.samples, k.micro)));
    }
    const auto ops = kernels::make_cpu_ops(2);
    const Result again = run(*ops, c, k.place, k.samples, k.micro);
    const Result kept = run(*ops, keeping_cheap(c), k.place, k.samples, k.micro);
    BOOST_TEST(again.loss == kept.loss, boost::test_tools::per_element());
    std::vector<double> difference;
    for (std::size_t i = 0; i < kept.gradient.size(); ++i) difference.push_back(kept.gradient[i] - again.gradient[i]);
    BOOST_TEST(test::norm(difference) <= 1e-6 * test::norm(again.gradient));
  }
}

BOOST_AUTO_TEST_CASE(a_layer_keeps_its_input_and_all_of_them_share_the_rest) {
  DitConfig c;  // width 384; every tensor is a multiple of the arena's alignment
  c.channels = 4;
  c.height = c.width_px = 32;
  for (const int layers : {1, 3, 12}) {
    for (const std::int64_t samples : {32, 20, 8}) {
      const BlockPlace place{0, 1, 0, layers};
      const std::int64_t none = static_cast<std::int64_t>(training_bytes(c, place, samples));
      const std::int64_t layer =
          static_cast<std::int64_t>(training_bytes(with(c, ActivationCheckpointing::layer), place, samples));
      // Beside its input: q, k, v, attention, projection, hidden and output rows, log-sum-exp, and the modulation.
      const std::int64_t sample = (10 * c.tokens() * c.width + c.heads * c.tokens() + 6 * c.width) * 4;
      const std::int64_t chunk = std::min<std::int64_t>(samples, c.rows_at_once / c.tokens());
      BOOST_TEST(none - layer == (layers * samples - chunk) * sample);
      // Kept besides: two modulated norms and the stream between them, the GELU, means and deviations.
      const std::int64_t cheap = (7 * c.tokens() * c.width + 4 * c.tokens()) * 4;
      BOOST_TEST(static_cast<std::int64_t>(training_bytes(keeping_cheap(c), place, samples)) - none ==
                 layers * samples * cheap);
      BOOST_TEST(static_cast<std::int64_t>(
                     training_bytes(with(keeping_cheap(c), ActivationCheckpointing::layer), place, samples)) == layer);
    }
  }
}

BOOST_AUTO_TEST_CASE(what_is_computed_again_is_counted_and_apart_from_the_network_s_own) {
  const DitConfig c = odd_config(70);  // two images in a chunk
  const double tokens = 35, width = 28;
  const double layer = 2 * tokens * (3 + 1 + 3 + 3) * width * width + 4 * tokens * tokens * width + 12 * width * width;
  const auto kept = test::dit_block(c, {0, 1, 0, 3});
  const auto again = test::dit_block(with(c, ActivationCheckpointing::layer), {0, 1, 0, 3});
  BOOST_TEST(kept->recomputed_flops(5) == 0);
  BOOST_TEST(again->recomputed_flops(5) == 5 * 3 * layer);
  // In one chunk the last layer's activations are still there.
  BOOST_TEST(again->recomputed_flops(2) == 2 * 2 * layer);
  BOOST_TEST(test::dit_block(with(c, ActivationCheckpointing::layer), {2, 3, 2, 1})->recomputed_flops(1) == 0);
  BOOST_TEST(again->flops().forward == kept->flops().forward);
  BOOST_TEST(again->flops().training == kept->flops().training);
}

}  // namespace blocktrain::blocks
