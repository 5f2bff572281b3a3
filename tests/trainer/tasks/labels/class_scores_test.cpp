// Accuracy and cross-entropy of a made-up network, whose logits are known: in steps, per noise level, of the first
// blocks, without noise, and the same on any number of ranks.

#include "trainer/tasks/labels/class_scores.hpp"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "blocks/parameters.hpp"
#include "comm/local/local_world.hpp"
#include "trainer/tasks/images/image_layout.hpp"

namespace blocktrain::trainer {
namespace {

using kernels::Arena;
using kernels::DType;
using kernels::Purpose;
using kernels::Tensor;

constexpr std::int64_t classes = 4;
constexpr std::int64_t all = 700;  // more than one piece
constexpr std::uint64_t seed = 23;

std::int32_t label_of(std::int64_t index) { return static_cast<std::int32_t>(index * 7 % 4); }
bool lying = true;
/// What the image shows: its class, but where images are lying another one for every fifth.
std::int32_t shown_by(std::int64_t index) {
  return (label_of(index) + (lying && index % 5 == 0 ? 1 : 0)) % static_cast<std::int32_t>(classes);
}

/// Images of one pixel, which is the number of a class.
class Told : public Samples {
 public:
  DataFacts facts() const override { return {}; }
  blocks::SampleLayout layout() const override { return image_layout({1, 1, 1}, classes); }
  std::int64_t count(Split) const override { return all; }
  void fill(const blocks::Batch& batch, Split split, std::span<const std::int64_t> indices,
            const std::optional<TrainingKey>& training) const override {
    if (split != Split::heldout || training) throw std::logic_error("only held-out samples, as they are");
    for (std::size_t i = 0; i < indices.size(); ++i) {
      batch.fields[image_field].as<float>()[i] = static_cast<float>(shown_by(indices[i]));
      batch.fields[label_field].as<std::int32_t>()[i] = label_of(indices[i]);
    }
  }
};

/// F = the image.
class Eye final : public blocks::Network {
 public:
  std::int64_t targets_per_sample() const override { return 1; }
  std::int64_t rows_per_sample() const override { return 1; }
  blocks::Flops flops() const override { return {100, 300}; }
  std::int64_t samples_at_once(std::int64_t samples) const override { return std::min<std::int64_t>(samples, 3); }
  void bind(Arena&, DType, std::int64_t, blocks::Pass) override {}
  Tensor allocate_output(Arena& arena, DType dtype, std::int64_t samples) const override {
    return arena.allocate(dtype, {samples, 1});
  }
  void begin(kernels::Ops&, const blocks::NetworkInput& input) override {
    if (!input.batch.fields[label_field].empty()) throw std::logic_error("the network was shown the label");
    image_ = input.batch.fields[image_field];
  }
  void forward(kernels::Ops& ops, const Tensor& out, blocks::Range r) override {
    ops.copy(out, image_.rows(r.begin, r.end).reshaped({r.size(), 1}));
  }
  void backward(kernels::Ops&, const Tensor&, const Tensor&, blocks::Range, kernels::GradientWrite) override {}
  void finish(kernels::Ops&, kernels::GradientWrite) override {}

 private:
  Tensor image_;
};

/// Targets are the rows of the unit matrix. Logits are z, and `trust` more for the class that the image shows; what is
/// expected under the noise is the row of that class.
class Trusting final : public blocks::Objective {
 public:
  Trusting(float trust, bool noise) : trust_(trust), noise_(noise) {}
  blocks::Flops flops() const override { return {static_cast<double>(trust_), 0}; }
  std::int64_t levels_per_sample() const override { return noise_ ? 1 : 0; }
  void bind(Arena& arena, DType dtype, std::int64_t samples, blocks::Pass) override {
    target_ = arena.allocate(dtype, {samples, classes});
  }
  Tensor allocate_noisy(Arena& arena, DType dtype, std::int64_t samples) const override {
    return noise_ ? arena.allocate(dtype, {samples, classes}) : Tensor();
  }
  Tensor allocate_estimate(Arena& arena, DType dtype, std::int64_t samples) const override {
    return arena.allocate(dtype, {samples, classes});
  }
  void draw_levels(kernels::Ops&, const Tensor&, const blocks::LevelDraw&) const override {}
  void add_noise(kernels::Ops& ops, const blocks::NetworkInput& input, const kernels::RandomKey& key,
                 const kernels::StepState* state) const override {
    const Tensor target = target_.rows(0, input.samples());
    const auto* label = input.batch.fields[label_field].as<std::int32_t>();
    for (std::int64_t i = 0; i < input.samples(); ++i) {
      for (std::int64_t v = 0; v < classes; ++v) target.as<float>()[i * classes + v] = v == label[i] ? 1.0F : 0.0F;
    }
    ops.add_noise(input.noisy, target, input.level, key, state, input.batch.first_sample);
  }
  void loss(kernels::Ops&, const blocks::SampleLosses&, const blocks::LossGradients&, const Tensor&,
            const blocks::NetworkInput&, double, kernels::GradientWrite) override {}
  void estimate(kernels::Ops& ops, const Tensor& logits, const blocks::NetworkInput& input, const Tensor& f) override {
    ops.fill(logits, 0);
    if (noise_) ops.copy(logits, input.noisy);
    mark(logits, f, trust_);
  }
  void denoise(kernels::Ops& ops, const Tensor& d, const blocks::NetworkInput&, const Tensor& f) override {
    ops.fill(d, 0);
    mark(d, f, 1);
  }

 private:
  static void mark(const Tensor& rows, const Tensor& f, float by) {
    for (std::int64_t i = 0; i < rows.dim(0); ++i) {
      rows.as<float>()[i * classes + static_cast<std::int64_t>(f.as<float>()[i])] += by;
    }
  }

  float trust_;
  bool noise_;
  Tensor target_;
};

blocks::NoiseSchedule schedule() {
  blocks::NoiseSettings s;
  s.partition = blocks::Partition::uniform_log;
  s.sigma_min = 0.1;
  s.sigma_max = 4;
  return {s, 3};
}

/// The first `count` of three blocks, of which block b trusts the image by `trust` + b.
struct Toy {
  explicit Toy(std::int64_t batch, int count = 3, float trust = 1, bool noise = true) {
    std::vector<blocks::Block*> there;
    for (int b = 0; b < count; ++b) {
      owned.push_back(std::make_unique<blocks::Block>(blocks::BlockPlace{b, 3, b, 1}, std::make_unique<Eye>(),
                                                      std::make_unique<Trusting>(trust + static_cast<float>(b), noise),
                                                      blocks::ParameterLayout()));
      there.push_back(owned.back().get());
    }
    network.emplace(schedule(), std::move(there));
    network->bind(arena, DType::float32, batch);
  }

  Arena arena = Arena::host("toy", std::size_t{1} << 20);
  std::vector<std::unique_ptr<blocks::Block>> owned;
  std::optional<blocks::AssembledNetwork> network;
  std::unique_ptr<kernels::Device> device = kernels::make_cpu_device(1);
};

ClassScores measure(Toy& toy, std::int64_t batch, std::int64_t samples = all, EvaluationRanks* ranks = nullptr) {
  const Told data;
  EvaluationRanks alone;
  return measure_classes({*toy.network,
                          *toy.device,
                          ranks != nullptr ? *ranks : alone,
                          data,
                          batch,
                          samples,
                          seed,
                          {3, 1, 6},
                          compared_levels(schedule())});
}

/// Rows of normal numbers, one per sample.
std::vector<float> normal(const kernels::RandomKey& key, std::uint32_t step, std::int64_t count) {
  std::vector<float> numbers(static_cast<std::size_t>(count * classes));
  kernels::make_cpu_device(1)->ops().random_normal(Tensor(numbers.data(), DType::float32, {count, classes}), key, step,
                                                   0);
  return numbers;
}

/// Of the logits z + trust * (the class shown), where z(i, v) says the noisy target.
template <class Z>
ClassScore by_hand(std::int64_t samples, double trust, const Z& z) {
  ClassScore score;
  for (std::int64_t i = 0; i < samples; ++i) {
    const std::int64_t index = i * all / samples;
    double logits[classes], sum = 0;
    for (std::int64_t v = 0; v < classes; ++v) logits[v] = z(i, index, v) + (v == shown_by(index) ? trust : 0);
    for (const double logit : logits) sum += std::exp(logit);
    const auto best = std::max_element(logits, logits + classes) - logits;
    score.accuracy += (best == label_of(index) ? 1.0 : 0.0) / static_cast<double>(samples);
    score.cross_entropy += (std::log(sum) - logits[label_of(index)]) / static_cast<double>(samples);
  }
  return score;
}

void check_close(const ClassScore& found, const ClassScore& expected) {
  BOOST_TEST(found.accuracy == expected.accuracy, boost::test_tools::tolerance(1e-9));
  BOOST_TEST(found.cross_entropy == expected.cross_entropy, boost::test_tools::tolerance(1e-5));
}

void check_same(const ClassScores& a, const ClassScores& b) {
  BOOST_REQUIRE(a.answers.size() == b.answers.size());
  BOOST_REQUIRE(a.levels.size() == b.levels.size());
  for (std::size_t i = 0; i < a.answers.size(); ++i) {
    BOOST_TEST(a.answers[i].score.accuracy == b.answers[i].score.accuracy);
    BOOST_TEST(a.answers[i].score.cross_entropy == b.answers[i].score.cross_entropy);
  }
  for (std::size_t i = 0; i < a.levels.size(); ++i) {
    BOOST_TEST(a.levels[i].score.accuracy == b.levels[i].score.accuracy);
    BOOST_TEST(a.levels[i].score.cross_entropy == b.levels[i].score.cross_entropy);
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(answers_come_from_noise_by_euler_steps_and_the_owner_of_the_last_level) {
  Toy toy(32);
  const ClassScores scores = measure(toy, 32);
  BOOST_TEST(scores.samples == all);
  BOOST_REQUIRE(scores.answers.size() == 3U);
  const std::vector<float> eps = normal({seed, Purpose::sampling, 0}, 0, all);
  for (std::size_t a = 0; a < 3; ++a) {
    const int steps = std::vector<int>{3, 1, 6}[a];
    BOOST_TEST_CONTEXT(steps << " steps") {
      BOOST_TEST(scores.answers[a].steps == steps);
      const std::vector<double> edges = schedule().sampling_edges(steps);
      const double last = edges[static_cast<std::size_t>(steps) - 1];
      const int owner = schedule().block_of(last);
      // A denoiser that always says y takes z = y + sigma (..) to y + sigma' (..).
      check_close(scores.answers[a].score,
                  by_hand(all, 1.0 + owner, [&](std::int64_t i, std::int64_t index, std::int64_t v) {
                    const double start = std::hypot(0.5, 4.0) * eps[static_cast<std::size_t>(i * classes + v)];
                    const double y = v == shown_by(index) ? 1 : 0;
                    return y + last / 4.0 * (start - y);
                  }));
      double flops = 0;
      for (int s = 0; s < steps; ++s) flops += 101 + schedule().block_of(edges[static_cast<std::size_t>(s)]);
      BOOST_TEST(scores.answers[a].flops_per_sample == flops);
    }
  }
}

BOOST_AUTO_TEST_CASE(levels_start_from_the_noisy_true_class) {
  Toy toy(32);
  const ClassScores scores = measure(toy, 32);
  const std::vector<ComparedLevel> levels = compared_levels(schedule());
  BOOST_REQUIRE(scores.levels.size() == levels.size());
  BOOST_TEST(scores.levels.front().level.sigma == 4.0);
  BOOST_TEST(scores.levels.back().level.sigma == 0.1);
  for (std::size_t l = 0; l < levels.size(); ++l) {
    const double sigma = levels[l].sigma;
    BOOST_TEST_CONTEXT("sigma " << sigma) {
      BOOST_TEST(scores.levels[l].level.sigma == sigma);
      BOOST_TEST(scores.levels[l].level.block == schedule().block_of(sigma));
      const std::vector<float> eps = normal({seed, Purpose::evaluation, 0}, static_cast<std::uint32_t>(l), all);
      check_close(scores.levels[l].score,
                  by_hand(all, 1.0 + levels[l].block, [&](std::int64_t i, std::int64_t index, std::int64_t v) {
                    return (v == label_of(index) ? 1 : 0) + sigma * eps[static_cast<std::size_t>(i * classes + v)];
                  }));
    }
  }
}

BOOST_AUTO_TEST_CASE(a_perfect_denoiser_is_always_right) {
  lying = false;
  Toy sure(16, 3, 1000);
  const ClassScores right = measure(sure, 16);
  lying = true;
  for (const AnswerScore& a : right.answers) {
    BOOST_TEST(a.score.accuracy == 1);
    BOOST_TEST(a.score.cross_entropy < 1e-9);
  }
  for (const LevelScore& l : right.levels) BOOST_TEST(l.score.accuracy == 1);
  // One that believes the image, where every fifth lies.
  const ClassScores deceived = measure(sure, 16);
  for (const AnswerScore& a : deceived.answers)
    BOOST_TEST(a.score.accuracy == 0.8, boost::test_tools::tolerance(1e-12));
}

BOOST_AUTO_TEST_CASE(no_bit_depends_on_batches_or_ranks) {
  Toy toy(32);
  const ClassScores whole = measure(toy, 32);
  Toy small(7);
  check_same(whole, measure(small, 7));
  Toy large(700);
  check_same(whole, measure(large, 700));
  for (const int ranks : {2, 3}) {
    comm::run_local_world(ranks, [&](comm::Communicator& world) {
      EvaluationRanks shared(world, std::chrono::seconds(60));
      Toy mine(32);
      const ClassScores scores = measure(mine, 32, all, &shared);
      shared.finish();
      if (shared.leads()) check_same(whole, scores);
    });
  }
}

BOOST_AUTO_TEST_CASE(fewer_samples_are_spread_over_all) {
  Toy toy(32);
  const ClassScores scores = measure(toy, 32, 69);
  BOOST_TEST(scores.samples == 69);
  const std::vector<float> eps = normal({seed, Purpose::sampling, 0}, 0, 69);
  check_close(scores.answers[1].score, by_hand(69, 1, [&](std::int64_t i, std::int64_t, std::int64_t v) {
                return std::hypot(0.5, 4.0) * eps[static_cast<std::size_t>(i * classes + v)];
              }));
  BOOST_TEST(measure(toy, 32, 5000).samples == all);
}

BOOST_AUTO_TEST_CASE(the_first_blocks_answer_with_a_step_each) {
  Toy three(32);
  const ClassScores whole = measure(three, 32);
  for (const int count : {1, 2}) {
    BOOST_TEST_CONTEXT(count << " blocks") {
      Toy toy(32, count);
      const ClassScores scores = measure(toy, 32);
      BOOST_REQUIRE(scores.answers.size() == 1U);
      BOOST_TEST(scores.answers[0].steps == count);
      for (std::size_t l = 0; l < scores.levels.size(); ++l) {
        BOOST_TEST(scores.levels[l].level.block < count);
        BOOST_TEST(scores.levels[l].score.cross_entropy == whole.levels[l].score.cross_entropy);
      }
      BOOST_TEST(whole.levels[scores.levels.size()].level.block == count);
      const double last = schedule().edges()[static_cast<std::size_t>(count) - 1];
      const std::vector<float> eps = normal({seed, Purpose::sampling, 0}, 0, all);
      check_close(scores.answers[0].score,
                  by_hand(all, static_cast<double>(count), [&](std::int64_t i, std::int64_t index, std::int64_t v) {
                    const double start = std::hypot(0.5, 4.0) * eps[static_cast<std::size_t>(i * classes + v)];
                    const double y = v == shown_by(index) ? 1 : 0;
                    return y + last / 4.0 * (start - y);
                  }));
    }
  }
}

BOOST_AUTO_TEST_CASE(a_network_without_noise_just_answers) {
  Toy toy(32, 3, 2, false);
  const ClassScores scores = measure(toy, 32);
  BOOST_TEST(scores.levels.empty());
  BOOST_REQUIRE(scores.answers.size() == 1U);
  BOOST_TEST(scores.answers[0].steps == 0);
  BOOST_TEST(scores.answers[0].flops_per_sample == 102);
  BOOST_TEST(scores.answers[0].score.accuracy == 560.0 / 700, boost::test_tools::tolerance(1e-12));
  // Logits 2, 0, 0, 0: right by log(e^2 + 3) - 2, wrong by log(e^2 + 3).
  BOOST_TEST(scores.answers[0].score.cross_entropy == std::log(std::exp(2.0) + 3) - 2 * 560.0 / 700,
             boost::test_tools::tolerance(1e-9));
}

BOOST_AUTO_TEST_CASE(logits_that_are_no_numbers_are_never_right) {
  Toy toy(32, 3, std::numeric_limits<float>::quiet_NaN(), false);
  const ClassScores scores = measure(toy, 32);
  BOOST_TEST(scores.answers[0].score.accuracy == 0);
  BOOST_TEST(std::isnan(scores.answers[0].score.cross_entropy));
}

}  // namespace blocktrain::trainer
