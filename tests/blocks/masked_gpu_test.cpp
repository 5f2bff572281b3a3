// A training step of masked on a GPU, where there is one, beside the CPU's: skipped visibly elsewhere.

#include <bit>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <vector>

#include "kernels/device.hpp"
#include "tests/blocks/masked_case.hpp"
#include "tests/support/needs_gpu.hpp"

namespace blocktrain::blocks {
namespace {

using kernels::Arena;
using kernels::DType;
using kernels::Tensor;

constexpr std::int64_t classes = 7, samples = 6;
constexpr BlockPlace place{1, 3, 2, 2};

/// Chunks of three samples, pieces of ten rows; dropout, and numbers off every vector width.
MaskedConfig config() {
  MaskedConfig c = test::small_masked_config();
  c.width = 24;
  c.dropout = 0.2;
  c.rows_at_once = 20;
  return c;
}

struct Result {
  std::vector<float> level, loss, gradient;
};

/// A block bound on a device, with the parameters that bfloat16 has.
class OnDevice {
 public:
  OnDevice(kernels::Device& device, DType dtype)
      : device_(device),
        block_(test::masked_block(config(), place, classes, 10)),
        arena_(take([&](Arena& a) { bind(a, dtype); })) {
    bind(arena_, dtype);
    std::vector<double> values(static_cast<std::size_t>(parameters_.size()));
    for (const Parameter& p : block_->parameters()) {
      const std::vector<double> own = test::normal_values(p.name, p.size, 0.2);
      for (std::size_t i = 0; i < own.size(); ++i) {
        const std::uint32_t bits = kernels::bfloat16_bits(static_cast<float>(own[i]));
        values[static_cast<std::size_t>(p.offset) + i] = static_cast<double>(std::bit_cast<float>(bits << 16));
      }
    }
    arena_.write(parameters_, values);
    arena_.write(tokens_, test::some_tokens(samples * config().context, classes));
    const kernels::SigmaInterval interval = test::mask_interval(config().context, place);
    device_.upload(interval_, &interval, sizeof interval);
    block_->bind_parameters(parameters_);
    block_->bind_gradient(gradient_);
  }

  void set_step(std::uint32_t step) {
    kernels::StepState state;
    state.step = step;
    device_.upload(state_, &state, sizeof state);
    device_.ops().synchronize();
  }
  void run() {
    Batch batch;
    batch.fields[0] = tokens_;
    StepSettings s;
    s.seed = 3;
    s.interval = interval_;
    s.state = state_;
    s.global_batch = samples;
    s.gradient = kernels::GradientWrite::replace;
    losses_ = block_->accumulate_gradient(device_.ops(), batch, s);
  }
  Result result() const { return {read(losses_.level), read(losses_.loss), read(gradient_)}; }
  Result step(std::uint32_t step) {
    set_step(step);
    run();
    return result();
  }

 private:
  template <class Bind>
  Arena take(const Bind& bind_in) {
    Arena measured = Arena::measuring("masked");
    bind_in(measured);
    return device_.arena("masked", measured.peak());
  }
  void bind(Arena& arena, DType dtype) {
    const std::int64_t elements = block_->parameter_elements();
    parameters_ = arena.allocate(dtype, {elements});
    gradient_ = arena.allocate(DType::float32, {elements});
    tokens_ = arena.allocate(DType::int32, {samples, config().context});
    interval_ = arena.room_for<kernels::SigmaInterval>();
    state_ = arena.room_for<kernels::StepState>();
    block_->bind_training(arena, dtype, samples);
  }
  std::vector<float> read(const Tensor& t) const {
    std::vector<float> out(static_cast<std::size_t>(t.size()));
    device_.download(out.data(), t.data, t.bytes());
    return out;
  }

  kernels::Device& device_;
  std::unique_ptr<Block> block_;
  Tensor parameters_, gradient_, tokens_;
  kernels::SigmaInterval* interval_ = nullptr;
  kernels::StepState* state_ = nullptr;
  Arena arena_;
  SampleLosses losses_;
};

double difference(const std::vector<float>& found, const std::vector<float>& expected) {
  const auto wide = [](const std::vector<float>& v) { return std::vector<double>(v.begin(), v.end()); };
  return test::relative_difference(wide(found), wide(expected));
}

BOOST_AUTO_TEST_SUITE(masked_on_a_gpu, *boost::unit_test::fixture<trainer::testing::NeedsGpu>())

BOOST_AUTO_TEST_CASE(a_step_agrees_with_the_cpu) {
  const auto cpu = kernels::make_cpu_device(1);
  OnDevice here(*cpu, DType::float32);
  const auto gpu = kernels::make_cuda_device(0, DType::float32, true);
  const auto half = kernels::make_cuda_device(0, DType::bfloat16, true);
  OnDevice there(*gpu, DType::float32), rounded(*half, DType::bfloat16);
  for (const std::uint32_t step : {0u, 7u}) {
    const Result expected = here.step(step), found = there.step(step), coarse = rounded.step(step);
    BOOST_TEST(found.level == expected.level, boost::test_tools::per_element());
    BOOST_TEST(coarse.level == expected.level, boost::test_tools::per_element());
    BOOST_TEST(difference(found.loss, expected.loss) < 1e-6);
    BOOST_TEST(difference(found.gradient, expected.gradient) < 1e-5);
    BOOST_TEST(difference(coarse.loss, expected.loss) < 1e-2);
    BOOST_TEST(difference(coarse.gradient, expected.gradient) < 0.03);
    BOOST_TEST(difference(coarse.gradient, expected.gradient) > 1e-5);  // it did compute in bfloat16
  }
}

BOOST_AUTO_TEST_CASE(what_is_captured_draws_anew_in_every_step) {
  for (const DType dtype : {DType::float32, DType::bfloat16}) {
    const auto device = kernels::make_cuda_device(0, dtype, true);
    OnDevice direct(*device, dtype), captured(*device, dtype);
    const auto graph = device->make_graph();
    for (std::uint32_t step = 0; step < 4; ++step) {
      const Result expected = direct.step(step);
      captured.set_step(step);
      auto work = [&] { captured.run(); };
      device->launch(*graph, work);
      const Result found = captured.result();
      BOOST_TEST(found.level == expected.level, boost::test_tools::per_element());
      BOOST_TEST(found.loss == expected.loss, boost::test_tools::per_element());
      BOOST_TEST((found.gradient == expected.gradient));
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace blocktrain::blocks
