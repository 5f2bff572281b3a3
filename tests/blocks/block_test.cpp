// What Block promises network and objective, whatever they are: by a network of one matrix, and an objective that owns
// a table of targets and trains it, or has no noise at all.
#include "blocks/block.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>

#include "blocks/layers/linear.hpp"
#include "tests/blocks/support.hpp"

namespace blocktrain::blocks {
namespace {

using kernels::Arena;
using kernels::DType;
using kernels::GradientWrite;
using kernels::Ops;
using kernels::RandomKey;
using kernels::Tensor;
using test::HostTensor;
using test::values_of;

constexpr std::int64_t width = 3, rows = 4, count = 5, at_once = 2;
constexpr double sigma_data = 0.5;

/// "value" float [width], "row" int32: of the table.
const SampleLayout layout{{{"value", DType::float32, {width}}, {"row", DType::int32, {}}}, 1, rows};

/// F = input W^T + b, of the noisy target, or without noise of the value.
class Matrix final : public Network {
 public:
  Matrix(ParameterLayout& parameters, bool noise)
      : noise_(noise), linear_(parameters, "matrix", width, width, Linear::Start::xavier) {}

  std::int64_t rows_per_sample() const override { return 1; }
  std::int64_t targets_per_sample() const override { return 1; }
  Flops flops() const override { return {linear_.flops_per_row(), 3 * linear_.flops_per_row()}; }
  std::int64_t samples_at_once(std::int64_t samples) const override { return std::min(samples, at_once); }
  void bind(Arena&, DType, std::int64_t, Pass) override {}
  Tensor allocate_output(Arena& arena, DType dtype, std::int64_t samples) const override {
    return arena.allocate(dtype, {samples, width});
  }
  void begin(Ops&, const NetworkInput& input) override {
    input_ = noise_ ? input.noisy : input.batch.fields[0];
    begun.push_back({input.samples(), input.pass == Pass::training});
  }
  void forward(Ops& ops, const Tensor& out, Range r) override { linear_.forward(ops, out, rows_of(input_, r)); }
  void backward(Ops& ops, const Tensor& dout, const Tensor& dnoisy, Range r, GradientWrite write) override {
    linear_.backward_parameters(ops, dout, rows_of(input_, r), write);
    if (!dnoisy.empty()) linear_.backward_input(ops, dnoisy, dout, true);
  }
  void finish(Ops&, GradientWrite) override { ++finished; }

  std::vector<std::pair<std::int64_t, bool>> begun;
  int finished = 0;

 private:
  bool noise_;
  Linear linear_;
  Tensor input_;
};

/// z = table[row] + sigma eps, and the error of D = c_skip z + c_out F against the value; without noise that of F.
class Table final : public Objective {
 public:
  Table(ParameterLayout& parameters, bool noise)
      : noise_(noise), table_(parameters.add_normal("table", rows, width, 1, true)) {}

  std::int64_t levels_per_sample() const override { return noise_ ? 1 : 0; }
  bool trains_target() const override { return noise_; }
  Flops flops() const override { return {100, 300}; }
  void bind(Arena& arena, DType dtype, std::int64_t samples, Pass pass) override {
    Memory& m = pass == Pass::training ? training_ : inference_;
    m.target = arena.allocate(dtype, {samples, width});
    m.level = arena.allocate(dtype, {samples});
  }
  Tensor allocate_noisy(Arena& arena, DType dtype, std::int64_t samples) const override {
    return noise_ ? arena.allocate(dtype, {samples, width}) : Tensor();
  }
  Tensor allocate_estimate(Arena& arena, DType dtype, std::int64_t samples) const override {
    return arena.allocate(dtype, {samples, 1});
  }
  void draw_levels(Ops& ops, const Tensor& level, const LevelDraw& draw) const override {
    drawn_of = draw.of_samples;
    if (noise_) ops.draw_sigma(level, draw.interval, draw.key, draw.state, draw.first_sample);
  }
  void add_noise(Ops& ops, const NetworkInput& input, const RandomKey& key,
                 const kernels::StepState* state) const override {
    if (!noise_) return;
    const Tensor target = memory(input).target.rows(0, input.samples());
    ops.embedding_forward(target, table_.value(), input.batch.fields[1]);
    ops.add_noise(input.noisy, target, input.level, key, state, input.batch.first_sample);
  }
  void loss(Ops& ops, const SampleLosses& losses, const LossGradients& gradients, const Tensor& f,
            const NetworkInput& input, double loss_scale, GradientWrite) override {
    const Tensor level = noise_ ? input.level : memory(input).level.rows(0, f.dim(0));
    if (!noise_) ops.fill(level, 1e3);  // c_skip is nothing, c_out is sigma_data
    const Tensor z = noise_ ? input.noisy : memory(input).target.rows(0, f.dim(0));
    ops.denoise_loss(losses.loss, losses.unweighted, gradients.out, z, input.batch.fields[0], f, level, sigma_data,
                     kernels::LossWeighting::none, loss_scale);
    for (std::int64_t n = 0; !gradients.noisy.empty() && n < f.dim(0); ++n) {
      // D reads z by c_skip where it reads F by c_out.
      const Tensor dz = gradients.noisy.rows(n, n + 1), df = gradients.out.rows(n, n + 1);
      const double s = test::get(level, n);
      ops.axpby(dz, sigma_data / (s * std::sqrt(s * s + sigma_data * sigma_data)), df, 0, df);
    }
  }
  void finish(Ops& ops, const Tensor& dnoisy, const NetworkInput& input, GradientWrite write) override {
    if (write == GradientWrite::replace) ops.fill(table_.gradient(), 0);
    ops.embedding_backward(table_.gradient(), dnoisy, input.batch.fields[1]);
  }
  void estimate(Ops& ops, const Tensor& answer, const NetworkInput&, const Tensor&) override { ops.fill(answer, 7); }
  void denoise(Ops& ops, const Tensor& d, const NetworkInput&, const Tensor& f) override { ops.copy(d, f); }

  mutable std::int64_t drawn_of = 0;

 private:
  struct Memory {
    Tensor target, level;
  };
  const Memory& memory(const NetworkInput& input) const {
    return input.pass == Pass::training ? training_ : inference_;
  }

  bool noise_;
  BoundParameter table_;
  Memory training_, inference_;
};

struct Toy {
  explicit Toy(bool noise)
      : block(make(noise)),
        flat(DType::float64, {2, block->parameter_elements()}),
        training(bind(&Block::bind_training)),
        inference(bind(&Block::bind_inference)),
        value(DType::float64, {count, width}, test::normal_values("value", count * width, 1)),
        row(DType::int32, {count}, {2, 0, 2, 3, 2}) {
    parameters = (*flat).rows(0, 1).reshaped({block->parameter_elements()});
    gradient = (*flat).rows(1, 2).reshaped({block->parameter_elements()});
    block->bind_parameters(parameters);
    block->bind_gradient(gradient);
    initialize(parameters, block->parameters(), 4);
    batch.fields = {*value, *row};
    state.step = 6;
    settings.seed = 3;
    settings.interval = &interval;
    settings.global_batch = 8;
    settings.state = &state;
  }

  std::unique_ptr<Block> make(bool noise) {
    ParameterLayout all;
    auto n = std::make_unique<Matrix>(all, noise);
    auto o = std::make_unique<Table>(all, noise);
    network = n.get();
    objective = o.get();
    return std::make_unique<Block>(BlockPlace{1, 2, 0, 1}, std::move(n), std::move(o), std::move(all));
  }
  Arena bind(void (Block::*method)(Arena&, DType, std::int64_t)) {
    Arena measured = Arena::measuring("toy");
    ((*block).*method)(measured, DType::float64, count);
    Arena arena = Arena::host("toy", measured.peak());
    ((*block).*method)(arena, DType::float64, count);
    return arena;
  }
  /// The loss whose gradient accumulate_gradient gives.
  double loss() {
    double sum = 0;
    for (const double l : values_of(block->accumulate_gradient(*ops, batch, settings).loss)) sum += l / 8;
    return sum;
  }

  std::unique_ptr<Ops> ops = kernels::make_reference_ops();
  Matrix* network = nullptr;
  Table* objective = nullptr;
  std::unique_ptr<Block> block;
  HostTensor flat;
  Arena training, inference;
  HostTensor value, row;
  Tensor parameters, gradient;
  Batch batch;
  kernels::StepState state;
  kernels::SigmaInterval interval{0.1, 2.0, kernels::SigmaCoordinate::log_sigma, 0, 1, 0, 1, 1, 0, 0};
  StepSettings settings;
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_gradient_reaches_what_the_noisy_target_is_made_of) {
  Toy toy(true);
  toy.ops->fill(toy.gradient, std::numeric_limits<double>::quiet_NaN());
  toy.settings.gradient = GradientWrite::replace;
  toy.loss();
  const std::vector<double> gradient = values_of(toy.gradient), start = values_of(toy.parameters);
  toy.settings.gradient = GradientWrite::add;
  int checked = 0;
  for (const Parameter& p : toy.block->parameters()) {
    for (std::int64_t i = p.offset; i < p.offset + p.size; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const double h = 1e-6;
      const auto loss_at = [&](double x) {
        test::set(toy.parameters, i, x);
        return toy.loss();
      };
      const double difference = (loss_at(start[at] + h) - loss_at(start[at] - h)) / (2 * h);
      loss_at(start[at]);
      BOOST_TEST(std::abs(difference - gradient[at]) < 1e-8, p.name << " " << difference << " " << gradient[at]);
      checked += std::abs(gradient[at]) > 1e-4 ? 1 : 0;
    }
  }
  // All of the matrix and its bias, and the three rows of the table that are there.
  BOOST_TEST(checked == width * width + width + 3 * width);
}

BOOST_AUTO_TEST_CASE(a_gradient_that_is_added_comes_on_top) {
  Toy toy(true);
  toy.loss();
  const std::vector<double> once = values_of(toy.gradient);
  toy.loss();
  const std::vector<double> twice = values_of(toy.gradient);
  for (std::size_t i = 0; i < once.size(); ++i) BOOST_TEST(std::abs(twice[i] - 2 * once[i]) < 1e-14);
}

BOOST_AUTO_TEST_CASE(a_micro_batch_begins_once_in_training_and_by_chunks_in_inference) {
  Toy toy(true);
  toy.loss();
  using Begun = std::vector<std::pair<std::int64_t, bool>>;
  BOOST_TEST((toy.network->begun == Begun{{count, true}}));
  BOOST_TEST(toy.network->finished == 1);
  BOOST_TEST(toy.objective->drawn_of == 8);
  toy.network->begun.clear();
  const HostTensor level(DType::float64, {count}, {0.1, 0.2, 0.3, 0.4, 0.5});
  const SampleLosses held_out = toy.block->evaluate(*toy.ops, toy.batch, *level, {5, &toy.state});
  BOOST_TEST((toy.network->begun == Begun{{2, false}, {2, false}, {1, false}}));
  BOOST_TEST(toy.network->finished == 1);
  // A sample's loss does not depend on the chunk it is in.
  const auto all = values_of(held_out.loss);
  const auto last =
      values_of(toy.block->evaluate(*toy.ops, toy.batch.rows({3, 5}), (*level).rows(3, 5), {5, &toy.state}).loss);
  BOOST_TEST((std::vector<double>(all.begin() + 3, all.end()) == last));
}

BOOST_AUTO_TEST_CASE(the_answer_and_the_expected_target_are_two_things) {
  Toy toy(true);
  const HostTensor z(DType::float64, {count, width}, test::normal_values("z", count * width, 1));
  const HostTensor level(DType::float64, {count}, {0.1, 0.2, 0.3, 0.4, 0.5}), d(DType::float64, {count, width});
  NetworkInput input;
  input.noisy = *z;
  input.level = *level;
  toy.block->denoise(*toy.ops, *d, input);
  const HostTensor f(DType::float64, {count, width});
  toy.network->begin(*toy.ops, input);
  toy.network->forward(*toy.ops, *f, {0, count});
  BOOST_TEST((values_of(*d) == values_of(*f)));
  Arena measured = Arena::measuring("answer");
  BOOST_TEST(toy.block->allocate_estimate(measured, DType::float64, count).dim(1) == 1);
  const HostTensor answer(DType::float64, {count, 1});
  toy.block->estimate(*toy.ops, *answer, input);
  BOOST_TEST((values_of(*answer) == std::vector<double>(count, 7)));
}

BOOST_AUTO_TEST_CASE(an_objective_may_do_without_noise) {
  Toy toy(false);
  toy.settings.interval = nullptr;
  toy.loss();
  BOOST_TEST(test::norm(values_of(toy.gradient)) > 0);
  Arena measured = Arena::measuring("levels");
  BOOST_TEST(toy.block->allocate_levels(measured, DType::float64, count).empty());
  BOOST_TEST(measured.peak() == 0u);
  const SampleLosses held_out = toy.block->evaluate(*toy.ops, toy.batch, {}, {5, &toy.state});
  const SampleLosses trained = toy.block->accumulate_gradient(*toy.ops, toy.batch, toy.settings);
  BOOST_TEST((values_of(held_out.loss) == values_of(trained.loss)));
  BOOST_TEST(held_out.level.empty());
}

BOOST_AUTO_TEST_CASE(operations_of_network_and_head_add_up) {
  const Toy toy(true);
  BOOST_TEST(toy.block->flops().forward == 2.0 * width * width + 100);
  BOOST_TEST(toy.block->flops().training == 6.0 * width * width + 300);
  BOOST_TEST(toy.block->targets_per_sample() == 1);
}

}  // namespace blocktrain::blocks
