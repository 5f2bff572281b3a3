// vit and its two objectives: gradients, CPU against reference, chunks, threads, dropout, and what the mathematics says
// of logits.

#include "blocks/architectures/vit.hpp"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <vector>

#include "blocks/objectives/categorical.hpp"
#include "blocks/objectives/classification.hpp"
#include "blocks/parameters.hpp"
#include "kernels/error.hpp"
#include "tests/blocks/support.hpp"

namespace blocktrain::blocks {
namespace {

using kernels::DType;
using test::BoundBlock;
using test::HostTensor;
using test::normal_values;
using test::values_of;

constexpr std::int64_t classes = 5;
constexpr const char* table = "target_embedding.table";

/// The smallest network in which nothing is square, single or a power of two by accident.
VitConfig small_config() {
  VitConfig c;
  c.patch = 2;
  c.mlp_ratio = 2;
  c.dropout = 0;
  c.width = 12;
  c.heads = 3;
  c.noise_features = 10;
  return c;
}

struct Kind {
  bool denoises = true;
  Evidence evidence = Evidence::analytic;
  bool trains_table = false;
};
const std::vector<Kind> kinds = {{true, Evidence::analytic, false},
                                 {true, Evidence::analytic, true},
                                 {true, Evidence::learned, false},
                                 {true, Evidence::learned, true},
                                 {false, Evidence::analytic, false}};

std::string name_of_kind(const Kind& k) {
  return k.denoises ? std::string(name_of(k.evidence)) + (k.trains_table ? ", trained table" : ", frozen table")
                    : "end to end";
}

SampleLayout layout() { return {{{"image", DType::float32, {2, 4, 6}}, {"label", DType::int32, {}}}, 1, classes}; }

std::unique_ptr<Block> vit_block(VitConfig config, const BlockPlace& place, const Kind& kind) {
  config.denoises = kind.denoises;
  ParameterLayout parameters;
  auto network = make_vit(config, layout(), place, parameters);
  auto objective = kind.denoises
                       ? make_categorical({"label", config.width, config.sigma_data, kind.evidence, kind.trains_table},
                                          layout(), place, parameters)
                       : make_classification({"label", config.width}, layout(), place, parameters);
  return std::make_unique<Block>(place, std::move(network), std::move(objective), std::move(parameters));
}

/// Images, labels and levels, keyed by their purpose. The step is one of training where a state is asked for.
struct Samples {
  Samples(DType dtype, std::int64_t count)
      : image(dtype, {count, 2, 4, 6}, normal_values("image", count * 48, 0.5)), label(DType::int32, {count}) {
    for (std::int64_t i = 0; i < count; ++i) test::set(*label, i, static_cast<double>((3 * i + 1) % classes));
  }
  Batch batch() const { return test::image_batch(*image, *label); }
  HostTensor image, label;
};

struct Training {
  explicit Training(const Kind& of, DType dtype, std::int64_t count, const VitConfig& c = small_config(),
                    BlockPlace place = {1, 3, 2, 2})
      : kind(of),
        config(c),
        block(vit_block(c, of.denoises ? place : BlockPlace{0, 1, 0, place.layers}, of), dtype, count),
        samples(dtype, count) {
    block.randomize(0.4);
  }

  /// The mean loss of a training step by the block's own draws, whose gradient is written.
  std::vector<double> step(kernels::Ops& ops, std::int64_t begin, std::int64_t end, kernels::GradientWrite write) {
    StepSettings s;
    s.seed = 3;
    s.interval = &interval;
    s.state = &state;
    s.global_batch = (*samples.label).dim(0);
    s.gradient = write;
    const SampleLosses losses = block->accumulate_gradient(ops, samples.batch().rows({begin, end}), s);
    ops.synchronize();
    return values_of(losses.loss);
  }
  std::vector<double> step(kernels::Ops& ops) {
    return step(ops, 0, (*samples.label).dim(0), kernels::GradientWrite::replace);
  }

  Kind kind;
  VitConfig config;
  kernels::StepState state = [] {
    kernels::StepState s;
    s.step = 7;
    return s;
  }();
  kernels::SigmaInterval interval = [] {
    kernels::SigmaInterval s;
    s.lo = 0.2;
    s.hi = 2;
    s.coordinate = kernels::SigmaCoordinate::log_sigma;
    return s;
  }();
  BoundBlock block;
  Samples samples;
};

VitConfig with_dropout() {
  VitConfig c = small_config();
  c.dropout = 0.3;
  return c;
}

std::vector<double> part_of(const std::vector<double>& flat, const Parameter& p) {
  return {flat.begin() + p.offset, flat.begin() + p.offset + p.size};
}

}  // namespace

BOOST_AUTO_TEST_CASE(gradients_are_those_of_the_loss) {
  const auto ops = kernels::make_reference_ops();
  for (const Kind& kind : kinds) {
    for (const VitConfig& config : {small_config(), with_dropout()}) {
      BOOST_TEST_CONTEXT(name_of_kind(kind) << ", dropout " << config.dropout) {
        Training s(kind, DType::float64, 5, config);
        const auto loss = [&] {
          double sum = 0;
          for (const double l : s.step(*ops)) sum += l;
          return sum / 5;
        };
        // Draws do not depend on the parameters, but y = E[label] does.
        test::check_gradient(s.block, loss,
                             kind.trains_table ? std::vector<std::string>{} : std::vector<std::string>{table});
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(cpu_agrees_with_the_reference_whatever_the_threads) {
  VitConfig config = with_dropout();
  config.width = 28;
  config.heads = 2;
  config.rows_at_once = 50;  // 7 tokens in a sample: chunks of 8
  constexpr std::int64_t count = 19;
  for (const Kind& kind : kinds) {
    BOOST_TEST_CONTEXT(name_of_kind(kind)) {
      const auto cpu = kernels::make_cpu_ops(1), threads = kernels::make_cpu_ops(3);
      const auto reference = kernels::make_reference_ops();
      Training a(kind, DType::float32, count, config), b(kind, DType::float64, count, config);
      a.block.randomize(0.2);
      b.block.randomize(0.2);
      const std::vector<double> loss = a.step(*cpu), gradient = values_of(a.block.gradient());
      const std::vector<double> exact = b.step(*reference), exact_gradient = values_of(b.block.gradient());
      // Float32 rounding, 6e-8, grown by a few layers; an error in one of 19 samples would show as 1e-2 and more.
      BOOST_TEST(test::relative_difference(loss, exact) < 1e-5);
      for (const Parameter& p : a.block->parameters()) {
        if (p.name == table && !kind.trains_table) continue;
        BOOST_TEST(test::relative_difference(part_of(gradient, p), part_of(exact_gradient, p)) < 5e-5, p.name);
      }
      BOOST_TEST(a.step(*threads) == loss, boost::test_tools::per_element());
      BOOST_TEST((values_of(a.block.gradient()) == gradient));
    }
  }
}

BOOST_AUTO_TEST_CASE(draws_and_masks_do_not_depend_on_micro_batches) {
  const auto ops = kernels::make_reference_ops();
  for (const Kind& kind : kinds) {
    BOOST_TEST_CONTEXT(name_of_kind(kind)) {
      Training s(kind, DType::float64, 5, with_dropout());
      const std::vector<double> whole = s.step(*ops), gradient = values_of(s.block.gradient());
      std::vector<double> parts = s.step(*ops, 0, 3, kernels::GradientWrite::replace);
      const std::vector<double> rest = s.step(*ops, 3, 5, kernels::GradientWrite::add);
      parts.insert(parts.end(), rest.begin(), rest.end());
      BOOST_TEST(parts == whole, boost::test_tools::per_element());
      BOOST_TEST(test::relative_difference(values_of(s.block.gradient()), gradient) < 1e-13);
      s.state.step = 8;
      BOOST_TEST(s.step(*ops) != whole);  // other masks, and other noise
    }
  }
}

BOOST_AUTO_TEST_CASE(checkpointed_activations_and_what_is_cheap_keep_the_masks) {
  for (const Kind& kind : kinds) {
    BOOST_TEST_CONTEXT(name_of_kind(kind)) {
      const auto ops = kernels::make_reference_ops();
      VitConfig again = with_dropout(), cheap = with_dropout();
      again.checkpointing = ActivationCheckpointing::layer;
      again.rows_at_once = 20;  // chunks of 3 samples
      cheap.keeps_cheap = true;
      VitConfig plain = with_dropout();
      plain.rows_at_once = again.rows_at_once;
      Training s(kind, DType::float64, 5, plain);
      const std::vector<double> loss = s.step(*ops), gradient = values_of(s.block.gradient());
      Training c(kind, DType::float64, 5, again);
      BOOST_TEST(c.step(*ops) == loss, boost::test_tools::per_element());
      BOOST_TEST((values_of(c.block.gradient()) == gradient));
      Training k(kind, DType::float64, 5, cheap);
      BOOST_TEST(k.step(*ops) == loss, boost::test_tools::per_element());
      BOOST_TEST(test::relative_difference(values_of(k.block.gradient()), gradient) < 1e-12);
    }
  }
}

BOOST_AUTO_TEST_CASE(nothing_is_dropped_outside_training) {
  const auto ops = kernels::make_reference_ops();
  for (const Kind& kind : kinds) {
    BOOST_TEST_CONTEXT(name_of_kind(kind)) {
      Training with(kind, DType::float64, 4, with_dropout()), without(kind, DType::float64, 4);
      const HostTensor level(DType::float64, {4}, {0.3, 0.5, 1, 2});
      const kernels::Tensor levels = kind.denoises ? *level : kernels::Tensor();
      const auto evaluated = [&](Training& s) {
        return values_of(s.block->evaluate(*ops, s.samples.batch(), levels, {5, &s.state}).loss);
      };
      BOOST_TEST(evaluated(with) == evaluated(without), boost::test_tools::per_element());
      BOOST_TEST(with.step(*ops) != without.step(*ops));
    }
  }
}

BOOST_AUTO_TEST_CASE(analytic_evidence_is_the_posterior_where_the_network_knows_nothing) {
  // A classifier of zeros says p(y|x) = 1/V; what is left is softmax(z.E / sigma^2) over unit rows E.
  const auto ops = kernels::make_reference_ops();
  constexpr std::int64_t count = 3;
  Training s({true, Evidence::analytic, false}, DType::float64, count);
  std::vector<double> unit;
  for (const Parameter& p : s.block->parameters()) {
    const kernels::Tensor view = view_of(s.block.parameters(), p);
    if (p.name.find("classifier") != std::string::npos) ops->fill(view, 0);
    if (p.name != table) continue;
    unit = values_of(view);
    for (std::int64_t v = 0; v < classes; ++v) {
      const auto row = unit.begin() + v * s.config.width;
      const double length = test::norm({row, row + s.config.width});
      std::transform(row, row + s.config.width, row, [length](double x) { return x / length; });
    }
  }
  const std::int64_t d = s.config.width;
  const HostTensor z(DType::float64, {count, d}, normal_values("z", count * d, 0.4));
  const HostTensor sigma(DType::float64, {count}, {0.3, 0.7, 1.5});
  const HostTensor logits(DType::float64, {count, classes}), denoised(DType::float64, {count, d});
  const NetworkInput input = test::noisy_images(*z, *sigma, s.samples.batch());
  s.block->estimate(*ops, *logits, input);
  s.block->denoise(*ops, *denoised, input);
  for (std::int64_t n = 0; n < count; ++n) {
    std::vector<double> p;
    double sum = 0;
    for (std::int64_t v = 0; v < classes; ++v) {
      double dot = 0;
      for (std::int64_t e = 0; e < d; ++e) dot += test::get(*z, n * d + e) * unit[static_cast<std::size_t>(v * d + e)];
      const double evidence = dot / std::pow(test::get(*sigma, n), 2);
      BOOST_TEST(test::get(*logits, n * classes + v) == evidence, boost::test_tools::tolerance(1e-11));
      sum += p.emplace_back(std::exp(evidence));
    }
    for (std::int64_t e = 0; e < d; ++e) {
      double mean = 0;
      for (std::int64_t v = 0; v < classes; ++v)
        mean += p[static_cast<std::size_t>(v)] / sum * unit[static_cast<std::size_t>(v * d + e)];
      BOOST_TEST(test::get(*denoised, n * d + e) == mean, boost::test_tools::tolerance(1e-9));
    }
  }
}

BOOST_AUTO_TEST_CASE(blocks_share_the_table_and_nothing_else) {
  const auto first = vit_block(small_config(), {0, 2, 0, 1}, kinds[0]);
  const auto second = vit_block(small_config(), {1, 2, 1, 1}, kinds[0]);
  BOOST_REQUIRE_EQUAL(first->shared().size(), 1);
  const auto name_at = [](const Block& b) {
    const auto range = b.shared().front();
    const auto found =
        std::ranges::find_if(b.parameters(), [&](const Parameter& p) { return p.offset == range.begin; });
    BOOST_TEST(range.end == found->offset + found->size);
    BOOST_TEST(!found->decays);
    return found->name;
  };
  BOOST_TEST(name_at(*first) == table);
  BOOST_TEST(name_at(*second) == table);
  const auto initial = [](const Block& b, std::uint64_t seed) {
    HostTensor flat(DType::float64, {b.parameter_elements()});
    initialize(*flat, b.parameters(), seed, 11);
    const auto range = b.shared().front();
    return values_of((*flat).rows(range.begin, range.end));
  };
  // By the run's seed, whatever that of the block is.
  BOOST_TEST(initial(*first, 1) == initial(*second, 2), boost::test_tools::per_element());
  BOOST_TEST(vit_block(small_config(), {0, 1, 0, 2}, kinds.back())->shared().empty());
}

BOOST_AUTO_TEST_CASE(the_classifier_has_no_noise_and_no_modulation) {
  const auto b = vit_block(small_config(), {0, 1, 0, 2}, kinds.back());
  for (const Parameter& p : b->parameters()) {
    for (const char* of_denoisers :
         {"modulation", "noise_embedding", "label_embedding", "target_embedding", "linear"}) {
      BOOST_TEST(p.name.find(of_denoisers) == std::string::npos, p.name);
    }
  }
  auto arena = kernels::Arena::measuring("levels");
  BOOST_TEST(b->allocate_levels(arena, DType::float32, 3).empty());
  BOOST_TEST(b->allocate_noisy(arena, DType::float32, 3).empty());
  BOOST_TEST(arena.peak() == 0);
}

BOOST_AUTO_TEST_CASE(operations_are_counted) {
  // 6 patches of 8 numbers and one token more, width 12, hidden 24, 10 features, 5 classes.
  const double d = 12, t = 7, layer = 2 * t * (3 + 1 + 2 + 2) * d * d, attention = 4 * t * t * d;
  const double patches = 2.0 * 6 * 8 * d, modulations = 2 * (2 * 6 + 2) * d * d;
  const double condition = 2 * (10 * d + d * d), label = 2 * d * d, output = 2 * d * d, head = 2 * 5 * d;
  BOOST_TEST(vit_block(small_config(), {1, 3, 2, 2}, kinds[2])->flops().forward ==
             2 * (layer + attention) + patches + modulations + condition + label + output + head);
  BOOST_TEST(vit_block(small_config(), {1, 3, 2, 2}, kinds[0])->flops().forward ==
             2 * (layer + attention) + patches + modulations + condition + label + output + 2 * head);
  BOOST_TEST(vit_block(small_config(), {0, 1, 0, 2}, kinds.back())->flops().forward ==
             2 * (layer + attention) + patches + head);
  BOOST_TEST(vit_block(small_config(), {0, 1, 0, 2}, kinds[0])->targets_per_sample() == 1);
  BOOST_TEST(vit_block(small_config(), {0, 1, 0, 2}, kinds[0])->rows_per_sample() == 7);
}

BOOST_AUTO_TEST_CASE(what_does_not_fit_is_refused) {
  const auto refused = [](auto change) {
    VitConfig c = small_config();
    change(c);
    BOOST_CHECK_THROW(vit_block(c, {0, 1, 0, 1}, kinds[0]), InputError);
  };
  refused([](VitConfig& c) { c.patch = 4; });
  refused([](VitConfig& c) { c.patch = 0; });
  refused([](VitConfig& c) { c.heads = 5; });
  refused([](VitConfig& c) { c.heads = 0; });
  refused([](VitConfig& c) { c.width = 15; });
  refused([](VitConfig& c) { c.mlp_ratio = 0; });
  refused([](VitConfig& c) { c.noise_features = 7; });
  refused([](VitConfig& c) { c.dropout = 1; });
  refused([](VitConfig& c) { c.dropout = std::nan(""); });
  ParameterLayout parameters;
  BOOST_CHECK_THROW(make_vit(small_config(), {{{"label", DType::int32, {}}}, 1, 5}, {}, parameters), InputError);
}

}  // namespace blocktrain::blocks
