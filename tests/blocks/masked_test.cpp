// masked and its objective: gradients, CPU against reference, draws, pieces, threads, and what the loss is by hand.

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <set>
#include <vector>

#include "blocks/noise/schedule.hpp"
#include "kernels/error.hpp"
#include "tests/blocks/masked_case.hpp"

namespace blocktrain::blocks {
namespace {

using kernels::DType;
using kernels::GradientWrite;
using test::BoundBlock;
using test::HostTensor;
using test::masked_block;
using test::small_masked_config;
using test::some_tokens;
using test::values_of;

constexpr std::int64_t classes = 7;
constexpr BlockPlace middle{1, 3, 2, 2}, whole{0, 1, 0, 2};

MaskedConfig with_dropout() {
  MaskedConfig c = small_masked_config();
  c.dropout = 0.3;
  return c;
}

std::vector<double> part_of(const std::vector<double>& flat, const Parameter& p) {
  return {flat.begin() + p.offset, flat.begin() + p.offset + p.size};
}

struct Training {
  explicit Training(const BlockPlace& place, DType dtype, std::int64_t count,
                    const MaskedConfig& c = small_masked_config(), std::int64_t rows = 0)
      : config(c),
        interval(test::mask_interval(c.context, place)),
        block(masked_block(c, place, classes, rows), dtype, count),
        tokens(DType::int32, {count, c.context}, some_tokens(count * c.context, classes)) {
    block.randomize(0.4);
  }

  Batch batch() const {
    Batch b;
    b.fields[0] = *tokens;
    return b;
  }

  /// The losses of a training step of samples [begin, end) by the block's own draws, whose gradient is written.
  std::vector<double> step(kernels::Ops& ops, std::int64_t begin, std::int64_t end, GradientWrite write,
                           std::vector<double>* levels = nullptr) {
    StepSettings s;
    s.seed = 3;
    s.interval = &interval;
    s.state = &state;
    s.global_batch = (*tokens).dim(0);
    s.gradient = write;
    const SampleLosses losses = block->accumulate_gradient(ops, batch().rows({begin, end}), s);
    ops.synchronize();
    BOOST_TEST(values_of(losses.unweighted) == values_of(losses.loss), boost::test_tools::per_element());
    if (levels != nullptr) *levels = values_of(losses.level);
    return values_of(losses.loss);
  }
  std::vector<double> step(kernels::Ops& ops, std::vector<double>* levels = nullptr) {
    return step(ops, 0, (*tokens).dim(0), GradientWrite::replace, levels);
  }

  MaskedConfig config;
  kernels::StepState state = [] {
    kernels::StepState s;
    s.step = 7;
    return s;
  }();
  kernels::SigmaInterval interval;
  BoundBlock block;
  HostTensor tokens;
};

/// -log softmax(row)[label] of logits[rows, classes].
double cross_entropy(const std::vector<double>& logits, std::size_t row, std::size_t label) {
  const auto begin = logits.begin() + static_cast<std::ptrdiff_t>(row * classes);
  double sum = 0;
  for (auto i = begin; i != begin + classes; ++i) sum += std::exp(*i);
  return std::log(sum) - *(begin + static_cast<std::ptrdiff_t>(label));
}

BOOST_AUTO_TEST_CASE(gradients_are_those_of_the_loss) {
  const auto ops = kernels::make_reference_ops();
  for (const BlockPlace& place : {middle, whole}) {
    for (const bool checkpoints : {false, true}) {
      MaskedConfig config = with_dropout();
      config.rows_at_once = 20;  // chunks of 3 samples
      if (checkpoints) config.checkpointing = ActivationCheckpointing::layer;
      BOOST_TEST_CONTEXT("block " << place.index << " of " << place.count << ", checkpoints " << checkpoints) {
        Training s(place, DType::float64, 5, config, 4);
        test::check_gradient(s.block, [&] {
          double sum = 0;
          for (const double l : s.step(*ops)) sum += l;
          return sum / 5;
        });
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(cpu_agrees_with_the_reference_whatever_the_threads) {
  MaskedConfig config = with_dropout();
  config.width = 28;
  config.heads = 2;
  config.rows_at_once = 50;
  constexpr std::int64_t count = 19;
  for (const BlockPlace& place : {middle, whole}) {
    BOOST_TEST_CONTEXT("block " << place.index << " of " << place.count) {
      const auto cpu = kernels::make_cpu_ops(1), threads = kernels::make_cpu_ops(3);
      const auto reference = kernels::make_reference_ops();
      Training a(place, DType::float32, count, config), b(place, DType::float64, count, config);
      a.block.randomize(0.2);
      b.block.randomize(0.2);
      const std::vector<double> loss = a.step(*cpu), gradient = values_of(a.block.gradient());
      const std::vector<double> exact = b.step(*reference), exact_gradient = values_of(b.block.gradient());
      // Float32 rounding, 6e-8, grown by a few layers; an error in one of 19 samples would show as 1e-2 and more.
      BOOST_TEST(test::relative_difference(loss, exact) < 1e-5);
      for (const Parameter& p : a.block->parameters()) {
        BOOST_TEST(test::relative_difference(part_of(gradient, p), part_of(exact_gradient, p)) < 5e-5, p.name);
      }
      BOOST_TEST(a.step(*threads) == loss, boost::test_tools::per_element());
      BOOST_TEST((values_of(a.block.gradient()) == gradient));
    }
  }
}

BOOST_AUTO_TEST_CASE(draws_do_not_depend_on_micro_batches) {
  const auto ops = kernels::make_reference_ops();
  for (const BlockPlace& place : {middle, whole}) {
    Training s(place, DType::float64, 5, with_dropout());
    std::vector<double> levels, some, others;
    const std::vector<double> all = s.step(*ops, &levels), gradient = values_of(s.block.gradient());
    std::vector<double> parts = s.step(*ops, 0, 3, GradientWrite::replace, &some);
    const std::vector<double> rest = s.step(*ops, 3, 5, GradientWrite::add, &others);
    parts.insert(parts.end(), rest.begin(), rest.end());
    some.insert(some.end(), others.begin(), others.end());
    BOOST_TEST(parts == all, boost::test_tools::per_element());
    BOOST_TEST(some == levels, boost::test_tools::per_element());
    BOOST_TEST(test::relative_difference(values_of(s.block.gradient()), gradient) < 1e-13);
    s.state.step = 8;
    BOOST_TEST(s.step(*ops) != all);  // other levels and masks
  }
}

BOOST_AUTO_TEST_CASE(another_block_draws_other_numbers) {
  const auto ops = kernels::make_reference_ops();
  MaskedConfig config = small_masked_config();
  config.context = 64;
  Training first(BlockPlace{0, 2, 0, 1}, DType::float64, 5, config);
  Training second(BlockPlace{1, 2, 0, 1}, DType::float64, 5, config);
  std::vector<double> a, b;
  first.step(*ops, &a);
  second.step(*ops, &b);
  for (double& level : b) level += 0.5;  // each has 32 numbers of masks
  BOOST_TEST(a != b);
}

BOOST_AUTO_TEST_CASE(a_batch_of_as_many_samples_as_levels_draws_each_once) {
  const auto ops = kernels::make_cpu_ops(1);
  for (int b = 0; b < 4; ++b) {
    const BlockPlace place{b, 4, 0, 1};
    const MaskCounts counts = mask_counts(9, b, 4);
    Training s(place, DType::float32, counts.count);
    for (std::uint32_t step = 0; step < 20; ++step) {
      s.state.step = step;
      std::vector<double> levels;
      s.step(*ops, &levels);
      std::multiset<long> found, expected;
      for (const double level : levels) found.insert(std::lround(9 * level));
      for (long m = counts.lo + 1; m <= counts.most(); ++m) expected.insert(m);
      BOOST_TEST(found == expected, boost::test_tools::per_element());
    }
  }
}

BOOST_AUTO_TEST_CASE(blocks_share_all_numbers_of_masks_among_them) {
  for (const std::int64_t tokens : {1, 2, 9, 48, 256}) {
    for (int blocks = 1; blocks <= std::min<std::int64_t>(tokens, 7); ++blocks) {
      const NoiseSchedule schedule = NoiseSchedule::of_masks(tokens, blocks);
      std::int64_t most = tokens;
      for (int b = 0; b < blocks; ++b) {
        const MaskCounts counts = mask_counts(tokens, b, blocks);
        BOOST_TEST(std::lround(schedule.owned(b).lo * static_cast<double>(tokens)) == counts.lo);
        BOOST_TEST(std::lround(schedule.owned(b).hi * static_cast<double>(tokens)) == counts.most());
        BOOST_TEST(counts.most() == most);
        BOOST_TEST(counts.count >= tokens / blocks);
        BOOST_TEST(counts.count <= (tokens + blocks - 1) / blocks);
        most = counts.lo;
      }
      BOOST_TEST(most == 0);
    }
  }
}

BOOST_AUTO_TEST_CASE(the_list_of_masked_rows_has_room_whatever_is_drawn) {
  // The CPU refuses a row that finds no room. Micro-batches of every size, from anywhere in the global batch.
  const auto ops = kernels::make_cpu_ops(1);
  MaskedConfig config = small_masked_config();
  config.width = 6;
  config.heads = 1;
  config.mlp_ratio = 1;
  for (const BlockPlace& place : {BlockPlace{0, 1, 0, 1}, BlockPlace{1, 3, 0, 1}}) {
    Training s(place, DType::float32, 8, config);
    for (std::uint32_t step = 0; step < 200; ++step) {
      s.state.step = step;
      const std::int64_t begin = step % 7, end = begin + 1 + step / 7 % (8 - begin);
      BOOST_CHECK_NO_THROW(s.step(*ops, begin, end, GradientWrite::replace));
    }
  }
}

BOOST_AUTO_TEST_CASE(exactly_as_many_are_masked_as_the_level_says_and_the_loss_is_their_mean) {
  const auto ops = kernels::make_reference_ops();
  constexpr std::int64_t count = 9, tokens = 9;
  Training s(whole, DType::float64, count);
  const HostTensor level(DType::float64, {count}), noisy(DType::int32, {count, tokens});
  const HostTensor logits(DType::float64, {count, tokens, classes});
  for (std::int64_t n = 0; n < count; ++n) test::set(*level, n, static_cast<double>(n + 1) / tokens);
  NetworkInput input;
  input.batch = s.batch();
  input.noisy = *noisy;
  input.level = *level;
  const EvaluationSettings settings{5, &s.state};
  const std::vector<double> losses = values_of(s.block->evaluate(*ops, s.batch(), *level, settings).loss);
  s.block->add_noise(*ops, input, settings);
  s.block->estimate(*ops, *logits, input);
  const std::vector<double> seen = values_of(*noisy), original = values_of(*s.tokens), all = values_of(*logits);
  for (std::size_t n = 0; n < count; ++n) {
    double sum = 0;
    std::size_t masked = 0;
    for (std::size_t i = n * tokens; i < (n + 1) * tokens; ++i) {
      if (seen[i] != classes) {
        BOOST_TEST(seen[i] == original[i]);
        continue;
      }
      ++masked;
      sum += cross_entropy(all, i, static_cast<std::size_t>(original[i]));
    }
    BOOST_TEST(masked == n + 1);
    BOOST_TEST(losses[n] == sum / static_cast<double>(masked), boost::test_tools::tolerance(1e-12));
  }
}

BOOST_AUTO_TEST_CASE(one_masked_token_has_its_own_cross_entropy) {
  // The last of as many blocks as tokens: m is 1, whatever is drawn.
  const auto ops = kernels::make_reference_ops();
  constexpr std::int64_t count = 4, tokens = 9;
  Training s(BlockPlace{8, 9, 0, 1}, DType::float64, count);
  std::vector<double> levels;
  s.step(*ops, &levels);
  BOOST_TEST(levels == std::vector<double>(count, 1.0 / 9), boost::test_tools::per_element());
  const HostTensor level(DType::float64, {count}, levels), noisy(DType::int32, {count, tokens});
  const HostTensor logits(DType::float64, {count, tokens, classes});
  NetworkInput input;
  input.batch = s.batch();
  input.noisy = *noisy;
  input.level = *level;
  s.block->add_noise(*ops, input, {5, &s.state});
  s.block->estimate(*ops, *logits, input);
  const std::vector<double> losses = values_of(s.block->accumulate_gradient_at(*ops, input, 1).loss);
  const std::vector<double> seen = values_of(*noisy), original = values_of(*s.tokens), all = values_of(*logits);
  for (std::size_t n = 0; n < count; ++n) {
    const auto row = seen.begin() + static_cast<std::ptrdiff_t>(n * tokens);
    const auto at = std::find(row, row + tokens, static_cast<double>(classes));
    BOOST_REQUIRE(at != row + tokens);
    const auto i = static_cast<std::size_t>(at - seen.begin());
    BOOST_TEST(losses[n] == cross_entropy(all, i, static_cast<std::size_t>(original[i])),
               boost::test_tools::tolerance(1e-12));
  }
}

BOOST_AUTO_TEST_CASE(pieces_do_not_change_what_is_computed) {
  for (const BlockPlace& place : {middle, whole}) {
    const auto ops = kernels::make_reference_ops();
    MaskedConfig chunked = with_dropout();
    chunked.rows_at_once = 20;
    Training one(place, DType::float64, 5, with_dropout()), pieces(place, DType::float64, 5, chunked, 4);
    const std::vector<double> loss = one.step(*ops), gradient = values_of(one.block.gradient());
    BOOST_TEST(pieces.step(*ops) == loss, boost::test_tools::per_element());
    BOOST_TEST(test::relative_difference(values_of(pieces.block.gradient()), gradient) < 1e-13);
  }
}

BOOST_AUTO_TEST_CASE(checkpointed_activations_and_what_is_cheap_keep_the_masks) {
  const auto ops = kernels::make_reference_ops();
  MaskedConfig again = with_dropout(), cheap = with_dropout(), plain = with_dropout();
  again.checkpointing = ActivationCheckpointing::layer;
  again.rows_at_once = plain.rows_at_once = 20;  // chunks of 3 samples
  cheap.keeps_cheap = true;
  Training s(middle, DType::float64, 5, plain), c(middle, DType::float64, 5, again),
      k(middle, DType::float64, 5, cheap);
  const std::vector<double> loss = s.step(*ops), gradient = values_of(s.block.gradient());
  BOOST_TEST(c.step(*ops) == loss, boost::test_tools::per_element());
  BOOST_TEST((values_of(c.block.gradient()) == gradient));
  BOOST_TEST(k.step(*ops) == loss, boost::test_tools::per_element());
  BOOST_TEST(test::relative_difference(values_of(k.block.gradient()), gradient) < 1e-12);
}

BOOST_AUTO_TEST_CASE(positions_are_told_apart_by_their_distance) {
  // All tokens are masked alike: without positions all logits of a sample would be the same.
  const auto ops = kernels::make_reference_ops();
  Training s(whole, DType::float64, 1);
  const HostTensor level(DType::float64, {1}, {1.0});
  const HostTensor noisy(DType::int32, {1, 9}, std::vector<double>(9, classes));
  const HostTensor logits(DType::float64, {1, 9, classes});
  NetworkInput input;
  input.batch = s.batch();
  input.noisy = *noisy;
  input.level = *level;
  // .. as they are where all tokens are one: attention then says the same, whatever the weights. With one other token
  // what a position is told of it depends on how far that is.
  s.block->estimate(*ops, *logits, input);
  const std::vector<double> alike = values_of(*logits);
  for (std::size_t i = classes; i < alike.size(); ++i) {
    BOOST_TEST(alike[i] == alike[i - classes], boost::test_tools::tolerance(1e-10));
  }
  test::set(*noisy, 4, 0);
  s.block->estimate(*ops, *logits, input);
  const std::vector<double> apart = values_of(*logits);
  BOOST_TEST(std::abs(apart[0] - apart[classes]) > 1e-6);
  BOOST_TEST(std::abs(apart[0] - apart[8 * classes]) > 1e-6);  // before it, and as far behind
}

BOOST_AUTO_TEST_CASE(operations_are_counted) {
  // 9 tokens, width 12, hidden 24, 10 features, 7 classes.
  const double d = 12, t = 9, layer = 2 * t * (3 + 1 + 2 + 2) * d * d, attention = 4 * t * t * d;
  const double modulations = 2 * (2 * 6 + 2) * d * d, condition = 2 * (10 * d + d * d), head = 2 * 7 * d;
  const double layers = 2 * (layer + attention) + modulations + condition;
  // Of block 1 of 3 the numbers of masks are 4, 5 and 6, of one block 1 to 9.
  for (const BlockPlace& place : {middle, whole}) {
    const Flops flops = masked_block(small_masked_config(), place)->flops();
    BOOST_TEST(flops.forward == layers + 5 * head);
    BOOST_TEST(flops.training ==
               3 * (2 * layer + modulations + 5 * head + 2 * d * d) + 2 * 2 * 10 * d + 3.5 * 2 * attention);
    BOOST_TEST(masked_block(small_masked_config(), place)->targets_per_sample() == 9);
    BOOST_TEST(masked_block(small_masked_config(), place)->rows_per_sample() == 9);
  }
}

BOOST_AUTO_TEST_CASE(what_is_private_to_a_block_bears_its_number) {
  const auto b = masked_block(small_masked_config(), middle);
  const auto has = [&](const std::string& name, std::vector<std::int64_t> shape, bool decays) {
    const auto found = std::ranges::find_if(b->parameters(), [&](const Parameter& p) { return p.name == name; });
    BOOST_REQUIRE_MESSAGE(found != b->parameters().end(), name);
    BOOST_TEST(found->shape == shape, boost::test_tools::per_element());
    BOOST_TEST(found->decays == decays, name);
  };
  has("blocks.1.token_embedding.table", {8, 12}, false);
  has("blocks.1.head.weight", {7, 12}, true);
  has("blocks.1.head.bias", {7}, false);
  has("blocks.1.output.modulation.weight", {24, 12}, true);
  has("blocks.1.noise_embedding.input.weight", {12, 10}, true);
  has("layers.3.attention.qkv.weight", {36, 12}, true);
  BOOST_TEST(b->shared().empty());
}

BOOST_AUTO_TEST_CASE(what_does_not_fit_is_refused) {
  const auto refused = [](auto change, BlockPlace place = {0, 1, 0, 1}) {
    MaskedConfig c = small_masked_config();
    change(c);
    BOOST_CHECK_THROW(masked_block(c, place), InputError);
  };
  refused([](MaskedConfig& c) { c.heads = 4; });  // heads of an odd width
  refused([](MaskedConfig& c) { c.heads = 0; });
  refused([](MaskedConfig& c) { c.width = 13; });
  refused([](MaskedConfig& c) { c.mlp_ratio = 0; });
  refused([](MaskedConfig& c) { c.noise_features = 7; });
  refused([](MaskedConfig& c) { c.dropout = 1; });
  refused([](MaskedConfig&) {}, {0, 10, 0, 1});  // more blocks than tokens
  BOOST_CHECK_NO_THROW(masked_block(small_masked_config(), {0, 9, 0, 1}));
  ParameterLayout parameters;
  BOOST_CHECK_THROW(make_masked(small_masked_config(), test::token_layout(8, 5), {}, parameters), InputError);
  BOOST_CHECK_THROW(make_masked(small_masked_config(), {{{"label", DType::int32, {}}}, 1, 5}, {}, parameters),
                    InputError);
  BOOST_CHECK_THROW(make_masked_tokens({"label", 12, 1}, {{{"label", DType::int32, {}}}, 1, 5}, {}, parameters),
                    InputError);
}

}  // namespace
}  // namespace blocktrain::blocks
