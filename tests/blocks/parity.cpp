#include "tests/blocks/parity.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <numeric>
#include <set>
#include <utility>

#include "blocks/parameters.hpp"

namespace blocktrain::blocks::test {

ParityCase::ParityCase(const Fixture& fixture, std::string name, std::unique_ptr<Block> block, kernels::Ops& ops,
                       const std::string& levels)
    : fixture_(fixture),
      name_(std::move(name)),
      ops_(ops),
      samples_(static_cast<std::int64_t>(fixture.at(levels).size())),
      block_(std::move(block), ops.dtype(), samples_) {
  for (const Parameter& p : block_->parameters()) {
    const auto& values = fixture_.at("parameters/" + p.name);
    BOOST_REQUIRE_EQUAL(static_cast<std::int64_t>(values.size()), p.size);
    for (std::int64_t i = 0; i < p.size; ++i) {
      set(block_.parameters(), p.offset + i, values[static_cast<std::size_t>(i)]);
    }
  }
}

void ParityCase::compare(const std::string& what, const std::vector<double>& found, double tolerance) const {
  const auto& expected = fixture_.at(name_ + "/" + what);
  BOOST_REQUIRE_EQUAL(found.size(), expected.size());
  BOOST_TEST(norm(expected) > 0, what);
  BOOST_TEST(relative_difference(found, expected) < tolerance,
             what << " is off by " << relative_difference(found, expected));
}

SampleLosses ParityCase::check_gradient(const NetworkInput& input, const Tolerance& tolerance,
                                        const std::string& untrained) const {
  const SampleLosses losses = accumulate(input);
  compare("loss", values_of(losses.loss), tolerance.forward);
  std::set<std::string> compared;
  for (const Parameter& p : block_->parameters()) {
    const auto gradient = values_of(view_of(block_.gradient(), p));
    if (p.name == untrained) {
      BOOST_TEST(norm(gradient) == 0, p.name);
      continue;
    }
    compare("gradient/" + p.name, gradient, tolerance.gradient);
    compared.insert(name_ + "/gradient/" + p.name);
  }
  for (const auto& [name, values] : fixture_.tensors) {
    BOOST_TEST((name.rfind(name_ + "/gradient/", 0) != 0 || compared.count(name) == 1), name << " is not ours");
  }
  return losses;
}

void ParityCase::check_training(const std::function<NetworkInput()>& input, const Tolerance& tolerance) const {
  const auto& expected = fixture_.at(name_ + "/losses");
  const std::int64_t elements = block_->parameter_elements();
  const HostTensor m(ops_.dtype(), {elements}), v(ops_.dtype(), {elements});
  kernels::StepState state;
  state.learning_rate = static_cast<float>(fixture_.number("learning_rate"));
  state.clip_norm = static_cast<float>(fixture_.number("clip_norm"));
  BOOST_REQUIRE_EQUAL(expected.size(), 10u);
  for (std::size_t step = 0; step < expected.size(); ++step) {
    const auto losses = values_of(accumulate(input()).loss);
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

SampleLosses ParityCase::accumulate(const NetworkInput& input) const {
  ops_.fill(block_.gradient(), 0);
  return block_->accumulate_gradient_at(ops_, input, 1 / static_cast<double>(samples_));
}

}  // namespace blocktrain::blocks::test
