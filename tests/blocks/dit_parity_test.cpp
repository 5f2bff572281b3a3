// A block and the end-to-end network against PyTorch, tensor by tensor, from a committed fixture.
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <numeric>
#include <set>

#include "blocks/parameters.hpp"
#include "tests/blocks/fixture.hpp"
#include "tests/blocks/support.hpp"

namespace blocktrain::blocks {
namespace {

using kernels::DType;
using test::HostTensor;
using test::values_of;

/// The fixture holds float32 roundings of a float64 computation. A step's learning rate and bias corrections are
/// float32 numbers on every device (StepState), hence the reference's losses.
struct Tolerance {
  double forward, gradient, losses;
};
constexpr Tolerance reference_tolerance{1e-7, 2e-7, 1e-7};
constexpr Tolerance cpu_tolerance{2e-6, 1e-5, 5e-6};

class Case {
 public:
  Case(const std::string& name, const BlockPlace& place, kernels::Ops& ops)
      : fixture_(test::Fixture::read("tests/fixtures/dit/parity.safetensors")),
        name_(name),
        ops_(ops),
        config_(config_of(fixture_)),
        samples_(static_cast<std::int64_t>(fixture_.at("input/sigma").size())),
        block_(config_, place, ops.dtype(), samples_),
        y_(image(fixture_.at("input/y"))),
        z_(image(noisy(fixture_, config_))),
        sigma_(ops.dtype(), {samples_}, fixture_.at("input/sigma")),
        label_(DType::int32, {samples_}, fixture_.at("input/label")) {
    for (const Parameter& p : block_->parameters()) {
      const auto& values = fixture_.at("parameters/" + p.name);
      BOOST_REQUIRE_EQUAL(static_cast<std::int64_t>(values.size()), p.size);
      for (std::int64_t i = 0; i < p.size; ++i) {
        test::set(block_.parameters(), p.offset + i, values[static_cast<std::size_t>(i)]);
      }
    }
  }

  void check_forward_and_gradient(const Tolerance& tolerance) {
    const HostTensor d = image({});
    block_->denoise(ops_, *d, input());
    compare("d", values_of(*d), tolerance.forward);

    const SampleLosses losses = accumulate();
    compare("loss", values_of(losses.loss), tolerance.forward);
    compare("mse", values_of(losses.unweighted), tolerance.forward);
    std::set<std::string> compared;
    for (const Parameter& p : block_->parameters()) {
      compare("gradient/" + p.name, values_of(view_of(block_.gradient(), p)), tolerance.gradient);
      compared.insert(name_ + "/gradient/" + p.name);
    }
    for (const auto& [name, values] : fixture_.tensors) {
      BOOST_TEST((name.rfind(name_ + "/gradient/", 0) != 0 || compared.count(name) == 1), name << " is not ours");
    }
  }

  void check_training(const Tolerance& tolerance) {
    const auto& expected = fixture_.at(name_ + "/losses");
    const std::int64_t elements = block_->parameter_elements();
    const HostTensor m(ops_.dtype(), {elements}), v(ops_.dtype(), {elements});
    kernels::StepState state;
    state.learning_rate = static_cast<float>(fixture_.number("learning_rate"));
    state.clip_norm = static_cast<float>(fixture_.number("clip_norm"));
    BOOST_REQUIRE_EQUAL(expected.size(), 10u);
    for (std::size_t step = 0; step < expected.size(); ++step) {
      const auto losses = values_of(accumulate().loss);
      const double mean = std::accumulate(losses.begin(), losses.end(), 0.0) / static_cast<double>(samples_);
      BOOST_TEST(std::abs(mean / expected[step] - 1) < tolerance.losses,
                 "step " << step << " is off by " << mean / expected[step] - 1);
      state.step = static_cast<std::uint32_t>(step);
      state.bias_correction1 = static_cast<float>(1 - std::pow(0.9, static_cast<double>(step + 1)));
      state.bias_correction2 = static_cast<float>(1 - std::pow(0.999, static_cast<double>(step + 1)));
      state.gradient_square_sum = 0;
      ops_.sum_squares(&state, block_.gradient());
      ops_.clip_gradient(&state);
      BOOST_TEST(state.gradient_scale < 1);  // clipping takes part
      ops_.adamw(block_.parameters(), *m, *v, {}, block_.gradient(), &state, {});
    }
  }

 private:
  static DitConfig config_of(const test::Fixture& f) {
    DitConfig c;
    c.channels = f.integer("channels");
    c.height = f.integer("height");
    c.width_px = f.integer("width_px");
    c.patch = static_cast<int>(f.integer("patch"));
    c.classes = f.integer("classes");
    c.width = f.integer("width");
    c.heads = static_cast<int>(f.integer("heads"));
    c.mlp_ratio = f.integer("mlp_ratio");
    c.noise_features = f.integer("noise_features");
    c.sigma_data = f.number("sigma_data");
    return c;
  }

  static std::vector<double> noisy(const test::Fixture& f, const DitConfig& c) {
    std::vector<double> z = f.at("input/y");
    for (std::size_t i = 0; i < z.size(); ++i) {
      z[i] += f.at("input/sigma")[i / static_cast<std::size_t>(c.image_elements())] * f.at("input/eps")[i];
    }
    return z;
  }

  HostTensor image(const std::vector<double>& values) const {
    const std::initializer_list<std::int64_t> dims{samples_, config_.channels, config_.height, config_.width_px};
    return values.empty() ? HostTensor(ops_.dtype(), dims) : HostTensor(ops_.dtype(), dims, values);
  }

  SampleLosses accumulate() {
    ops_.fill(block_.gradient(), 0);
    return block_->accumulate_gradient_at(ops_, input(), 1 / static_cast<double>(samples_));
  }

  NetworkInput input() const { return test::noisy_images(*z_, *sigma_, test::image_batch(*y_, *label_)); }

  void compare(const std::string& what, const std::vector<double>& found, double tolerance) const {
    const auto& expected = fixture_.at(name_ + "/" + what);
    BOOST_REQUIRE_EQUAL(found.size(), expected.size());
    BOOST_TEST(test::norm(expected) > 0, what);
    BOOST_TEST(test::relative_difference(found, expected) < tolerance, what);
  }

  test::Fixture fixture_;
  std::string name_;
  kernels::Ops& ops_;
  DitConfig config_;
  std::int64_t samples_;
  test::BoundBlock block_;
  HostTensor y_, z_, sigma_, label_;
};

const BlockPlace block{1, 2, 2, 2}, end_to_end{0, 1, 0, 4};

void check_all(kernels::Ops& ops, const Tolerance& tolerance) {
  for (const auto& [name, place] : {std::pair{"block", block}, std::pair{"end_to_end", end_to_end}}) {
    BOOST_TEST_CONTEXT(name << " on " << ops.name()) {
      Case(name, place, ops).check_forward_and_gradient(tolerance);
      Case(name, place, ops).check_training(tolerance);
    }
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_reference_agrees_with_pytorch) {
  check_all(*kernels::make_reference_ops(), reference_tolerance);
}

BOOST_AUTO_TEST_CASE(the_cpu_agrees_with_pytorch) { check_all(*kernels::make_cpu_ops(2), cpu_tolerance); }

}  // namespace blocktrain::blocks
