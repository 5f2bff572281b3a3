// What a training step and an evaluation of dit promise, in float64 on the reference ops.
#include "blocks/architectures/dit.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>

#include "blocks/layers/patch_embedding.hpp"
#include "blocks/noise/preconditioning.hpp"
#include "blocks/parameters.hpp"
#include "kernels/error.hpp"
#include "tests/blocks/support.hpp"

namespace blocktrain::blocks {
namespace {

using kernels::DType;
using test::BoundBlock;
using test::HostTensor;
using test::Samples;
using test::values_of;

const BlockPlace second_of_three{1, 3, 2, 2};

StepSettings settings_for(const kernels::StepState& state) {
  StepSettings s;
  s.seed = 3;
  static constexpr kernels::SigmaInterval interval{0.1, 2.0, kernels::SigmaCoordinate::log_sigma, 0, 1, 0, 1, 1, 0, 0};
  s.interval = &interval;
  s.global_batch = 8;
  s.state = &state;
  return s;
}

/// A configuration whose samples are so small that a batch of more than 512 takes two chunks.
DitConfig tiny_samples() {
  DitConfig c = test::small_config();
  c.height = 2;
  c.width_px = 4;
  c.width = 4;
  c.heads = 2;
  c.rows_at_once = 512 * c.tokens();
  return c;
}

}  // namespace

BOOST_AUTO_TEST_CASE(parts_of_a_batch_add_up_to_the_whole) {
  const DitConfig c = tiny_samples();
  const std::int64_t count = 600, first = 350;
  const auto ops = kernels::make_reference_ops();
  BoundBlock d(c, second_of_three, DType::float64, count);
  d.randomize();
  const Samples s(c, DType::float64, count);
  kernels::StepState state;
  state.step = 5;
  const StepSettings settings = settings_for(state);

  const SampleLosses whole = d->accumulate_gradient(*ops, s.batch(), settings);
  const auto loss = values_of(whole.loss), mse = values_of(whole.unweighted), sigma = values_of(whole.level);
  const auto gradient = values_of(d.gradient());

  ops->fill(d.gradient(), 0);
  std::vector<double> parts_loss, parts_mse, parts_sigma;
  for (const auto& [begin, end] : {std::pair{std::int64_t{0}, first}, std::pair{first, count}}) {
    const Batch part = s.batch().rows({begin, end});
    const SampleLosses r = d->accumulate_gradient(*ops, part, settings);
    for (const double x : values_of(r.loss)) parts_loss.push_back(x);
    for (const double x : values_of(r.unweighted)) parts_mse.push_back(x);
    for (const double x : values_of(r.level)) parts_sigma.push_back(x);
  }
  BOOST_TEST(parts_sigma == sigma);
  BOOST_TEST(parts_loss == loss);
  BOOST_TEST(parts_mse == mse);
  BOOST_TEST(test::relative_difference(values_of(d.gradient()), gradient) < 1e-13);
}

BOOST_AUTO_TEST_CASE(a_gradient_that_is_replaced_is_that_added_to_nothing) {
  // Sizes that leave padding behind most parameters; in one chunk and in several, of which the later ones add.
  for (const std::int64_t rows_at_once : {70, 2048}) {
    DitConfig c = test::odd_config();
    c.rows_at_once = rows_at_once;
    for (const auto& ops : {kernels::make_reference_ops(), kernels::make_cpu_ops(2)}) {
      BoundBlock d(c, second_of_three, ops->dtype(), 5);
      d.randomize();
      const Samples s(c, ops->dtype(), 5);
      kernels::StepState state;
      StepSettings settings = settings_for(state);
      d->accumulate_gradient(*ops, s.batch(), settings);
      const auto added = values_of(d.gradient());
      BOOST_TEST(!padding_of(d->parameters(), d->parameter_elements()).empty());
      BOOST_TEST(test::norm(added) > 0);

      ops->fill(d.gradient(), std::numeric_limits<double>::quiet_NaN());
      settings.gradient = kernels::GradientWrite::replace;
      d->accumulate_gradient(*ops, s.batch(), settings);
      BOOST_TEST((values_of(d.gradient()) == added), ops->name() << ", " << rows_at_once << " rows at once");
    }
  }
}

BOOST_AUTO_TEST_CASE(a_step_is_keyed_by_seed_block_and_step) {
  const DitConfig c = test::small_config();
  const auto ops = kernels::make_reference_ops();
  const Samples s(c, DType::float64, 4);
  const auto losses = [&](const BlockPlace& place, std::uint64_t seed, std::uint32_t step) {
    BoundBlock d(c, place, DType::float64, 4);
    initialize(d.parameters(), d->parameters(), 1);
    kernels::StepState state;
    state.step = step;
    StepSettings settings = settings_for(state);
    settings.seed = seed;
    return values_of(d->accumulate_gradient(*ops, s.batch(), settings).loss);
  };
  const auto base = losses(second_of_three, 3, 5);
  BOOST_TEST(losses(second_of_three, 3, 5) == base);
  BOOST_TEST(losses(second_of_three, 4, 5) != base);
  BOOST_TEST(losses(second_of_three, 3, 6) != base);
  // Untrained blocks all put out F = 0: their losses tell their noise apart.
  BOOST_TEST(losses({2, 3, 4, 2}, 3, 5) != base);
}

BOOST_AUTO_TEST_CASE(an_untrained_block_denoises_by_c_skip_alone) {
  const DitConfig c = test::small_config();
  const auto ops = kernels::make_reference_ops();
  BoundBlock d(c, second_of_three, DType::float64, 3);
  initialize(d.parameters(), d->parameters(), 9);
  const Samples s(c, DType::float64, 3);
  const HostTensor out(DType::float64, {3, c.channels, c.height, c.width_px});
  d->denoise(*ops, *out, s.input());
  for (std::int64_t i = 0; i < (*out).size(); ++i) {
    const double sigma = test::get(*s.sigma, i / c.image_elements());
    BOOST_REQUIRE_CLOSE(test::get(*out, i), c_skip(sigma, c.sigma_data) * test::get(*s.z, i), 1e-10);
  }
}

BOOST_AUTO_TEST_CASE(evaluation_agrees_with_training_and_leaves_its_memory_alone) {
  const DitConfig c = tiny_samples();
  const std::int64_t count = 530;  // more than one chunk, of 512
  const auto ops = kernels::make_reference_ops();
  BoundBlock d(c, second_of_three, DType::float64, count);
  d.randomize();
  const Samples s(c, DType::float64, count);
  const HostTensor out(DType::float64, {count, c.channels, c.height, c.width_px});

  const SampleLosses trained = d->accumulate_gradient_at(*ops, s.input(), 1);
  const auto loss = values_of(trained.loss), mse = values_of(trained.unweighted), gradient = values_of(d.gradient());

  // D from denoise() gives the mse of the training step.
  d->denoise(*ops, *out, s.input());
  for (std::int64_t n = 0; n < count; ++n) {
    double sum = 0;
    for (std::int64_t i = n * c.image_elements(); i < (n + 1) * c.image_elements(); ++i) {
      const double e = test::get(*out, i) - test::get(*s.y, i);
      sum += e * e;
    }
    const double expected = sum / static_cast<double>(c.image_elements());
    BOOST_REQUIRE_CLOSE(mse[static_cast<std::size_t>(n)], expected, 1e-8);
    BOOST_REQUIRE_CLOSE(loss[static_cast<std::size_t>(n)], loss_weight(test::get(*s.sigma, n), c.sigma_data) * expected,
                        1e-8);
  }
  BOOST_TEST(values_of(trained.loss) == loss);
  BOOST_TEST(values_of(d.gradient()) == gradient);

  // evaluate() is accumulate_gradient_at() on noise of its own.
  kernels::StepState state;
  state.step = 77;
  const EvaluationSettings settings{13, &state};
  const SampleLosses held_out = d->evaluate(*ops, s.batch(), *s.sigma, settings);
  const auto held_out_loss = values_of(held_out.loss), held_out_mse = values_of(held_out.unweighted);
  BOOST_TEST(values_of(d.gradient()) == gradient);
  const HostTensor z(DType::float64, {count, c.channels, c.height, c.width_px});
  ops->add_noise((*z).reshaped({count, c.image_elements()}), (*s.y).reshaped({count, c.image_elements()}), *s.sigma,
                 {13, kernels::Purpose::evaluation, 0}, &state, 0);
  const SampleLosses same = d->accumulate_gradient_at(*ops, test::noisy_images(*z, *s.sigma, s.batch()), 1);
  BOOST_TEST(test::relative_difference(values_of(same.loss), held_out_loss) < 1e-13);
  BOOST_TEST(test::relative_difference(values_of(same.unweighted), held_out_mse) < 1e-13);
}

BOOST_AUTO_TEST_CASE(dropped_labels_are_the_label_none) {
  DitConfig c = test::small_config();
  c.label_dropout = 1;
  const auto ops = kernels::make_reference_ops();
  BoundBlock d(c, second_of_three, DType::float64, 4);
  d.randomize();
  const Samples s(c, DType::float64, 4);
  kernels::StepState state;
  d->accumulate_gradient(*ops, s.batch(), settings_for(state));
  for (const Parameter& p : d->parameters()) {
    if (p.name != "blocks.1.class_embedding.table") continue;
    const auto g = values_of(view_of(d.gradient(), p));
    const auto classes = static_cast<std::ptrdiff_t>(c.classes * c.width);
    BOOST_TEST(test::norm({g.begin(), g.begin() + classes}) == 0);
    BOOST_TEST(test::norm({g.begin() + classes, g.end()}) > 0);
  }
}

BOOST_AUTO_TEST_CASE(parameters_may_be_rebound) {
  const DitConfig c = test::small_config();
  const auto ops = kernels::make_reference_ops();
  BoundBlock d(c, second_of_three, DType::float64, 2), other(c, second_of_three, DType::float64, 2);
  d.randomize(0.4);
  other.randomize(0.3);
  const Samples s(c, DType::float64, 2);
  const HostTensor a(DType::float64, {2, c.channels, c.height, c.width_px});
  const HostTensor b(DType::float64, {2, c.channels, c.height, c.width_px});
  d->denoise(*ops, *a, s.input());
  other->denoise(*ops, *b, s.input());
  BOOST_TEST(values_of(*a) != values_of(*b));
  other->bind_parameters(d.parameters());
  other->denoise(*ops, *b, s.input());
  BOOST_TEST(values_of(*a) == values_of(*b));
}

BOOST_AUTO_TEST_CASE(positions_tell_rows_and_columns) {
  const auto p = grid_positions(2, 3, 8);
  BOOST_TEST(p.size() == 48u);
  const auto at = [&](int row, int column, int i) { return p[static_cast<std::size_t>((row * 3 + column) * 8 + i)]; };
  // Rows in channels 0..3 as sin, sin, cos, cos; columns in 4..7; frequencies 1 and 1/100.
  BOOST_TEST(at(1, 2, 0) == std::sin(1.0));
  BOOST_CHECK_CLOSE(at(1, 2, 1), std::sin(0.01), 1e-12);
  BOOST_TEST(at(1, 2, 2) == std::cos(1.0));
  BOOST_TEST(at(1, 2, 4) == std::sin(2.0));
  BOOST_CHECK_CLOSE(at(1, 2, 7), std::cos(0.02), 1e-12);
  BOOST_TEST(at(0, 0, 0) == 0);
  BOOST_TEST(at(0, 0, 6) == 1);
}

BOOST_AUTO_TEST_CASE(flops_count_products_and_attention) {
  const DitConfig c = test::small_config();  // 6 tokens of 8 numbers, width 12, hidden 24, 10 features
  const double layer = 6 * 2.0 * (36 * 12 + 12 * 12 + 2 * 24 * 12) + 2.0 * 72 * 12;
  const double attention = 4.0 * 6 * 6 * 12;
  const double output = 6 * 2.0 * 8 * 12 + 2.0 * 24 * 12;
  const double edge = 6 * 2.0 * 12 * 8 + 2.0 * 12 * 10, second = 2.0 * 12 * 12;
  const Flops f = test::dit_block(c, {0, 1, 0, 3})->flops();
  BOOST_TEST(f.forward == 3 * (layer + attention) + output + edge + second);
  BOOST_TEST(f.training == 3 * (3 * layer + 3.5 * attention) + 3 * (output + second) + 2 * edge);
}

BOOST_AUTO_TEST_CASE(memory_stays_within_its_bounds) {
  // PyTorch 2.15 keeps 20 tensors [rows, C] per layer of this network and 3.3 besides for the backward pass (storages
  // seen by saved_tensors_hooks, fused attention); training memory has to stay near 0.55 of it, everything included.
  // Scratch is that of rows_at_once tokens, a quarter of the batch here.
  DitConfig c;
  c.channels = 4;
  c.height = c.width_px = 32;
  const double unit = 32 * 256 * 384 * 4.0;
  for (const int layers : {3, 4, 12}) {
    auto training = kernels::Arena::measuring("training"), inference = kernels::Arena::measuring("inference");
    const auto d = test::dit_block(c, {0, 1, 0, layers});
    d->bind_training(training, DType::float32, 32);
    d->bind_inference(inference, DType::float32, 32);
    const double kept = static_cast<double>(training.peak()) / unit;
    BOOST_TEST_MESSAGE(layers << " layers: " << kept << " units, " << kept / (20 * layers + 3.3) << " of PyTorch's");
    BOOST_TEST(kept <= 0.57 * (20 * layers + 3.3));
    BOOST_TEST(kept >= 11.0 * layers);
    // Independent of the number of layers.
    BOOST_TEST(static_cast<double>(inference.peak()) / unit < 2.1);
  }
}

BOOST_AUTO_TEST_CASE(sizes_that_do_not_fit_are_refused) {
  const auto refused = [](auto change) {
    DitConfig c = test::small_config();
    change(c);
    BOOST_CHECK_THROW(test::dit_block(c, {0, 1, 0, 1}), InputError);
  };
  refused([](DitConfig& c) { c.patch = 4; });
  refused([](DitConfig& c) { c.patch = 0; });
  refused([](DitConfig& c) { c.heads = 5; });
  refused([](DitConfig& c) { c.heads = 0; });
  refused([](DitConfig& c) { c.width = 15; });
  refused([](DitConfig& c) { c.noise_features = 7; });
  refused([](DitConfig& c) { c.classes = 0; });
  refused([](DitConfig& c) { c.label_dropout = 1.5; });
  refused([](DitConfig& c) { c.label_dropout = std::nan(""); });
  refused([](DitConfig& c) { c.sigma_data = 0; });
}

}  // namespace blocktrain::blocks
