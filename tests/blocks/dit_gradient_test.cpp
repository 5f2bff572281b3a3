// The gradient of a whole block and of the end-to-end network against central differences, in float64 on the reference
// ops.
#include <boost/test/unit_test.hpp>
#include <cmath>

#include "blocks/parameters.hpp"
#include "tests/blocks/support.hpp"

namespace blocktrain::blocks {
namespace {

using kernels::DType;
using kernels::LossWeighting;

constexpr std::int64_t samples = 5;
constexpr double loss_scale = 1.0 / 3;

double scaled_loss(kernels::Ops& ops, Block& d, const test::Samples& s) {
  double sum = 0;
  for (const double l : test::values_of(d.accumulate_gradient_at(ops, s.input(), loss_scale).loss)) {
    sum += l;
  }
  return loss_scale * sum;
}

/// Along a random direction in each parameter tensor by itself, so that no tensor hides behind another.
void check_gradient(const BlockPlace& place, LossWeighting weighting) {
  const DitConfig config = test::small_config();
  const auto ops = kernels::make_reference_ops();
  test::BoundBlock d(config, place, DType::float64, samples, weighting);
  d.randomize();
  const test::Samples s(config, DType::float64, samples);

  scaled_loss(*ops, *d, s);
  const std::vector<double> gradient = test::values_of(d.gradient());
  const std::vector<double> start = test::values_of(d.parameters());
  for (const Parameter& p : d->parameters()) {
    const std::vector<double> direction = test::normal_values("direction " + p.name, p.size, 1);
    double along = 0, square = 0;
    for (std::int64_t i = 0; i < p.size; ++i) {
      const double g = gradient[static_cast<std::size_t>(p.offset + i)];
      along += g * direction[static_cast<std::size_t>(i)];
      square += g * g;
    }
    const double h = 1e-5;
    const auto loss_at = [&](double t) {
      for (std::int64_t i = 0; i < p.size; ++i) {
        test::set(d.parameters(), p.offset + i,
                  start[static_cast<std::size_t>(p.offset + i)] + t * direction[static_cast<std::size_t>(i)]);
      }
      return scaled_loss(*ops, *d, s);
    };
    const double difference = (loss_at(h) - loss_at(-h)) / (2 * h);
    loss_at(0);
    BOOST_TEST(std::sqrt(square) > 1e-4, p.name << " has no gradient: the check would be empty");
    BOOST_TEST(std::abs(difference - along) < 2e-7 * std::sqrt(square), p.name << ": " << difference << " " << along);
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_block) { check_gradient({1, 3, 2, 2}, LossWeighting::edm); }

BOOST_AUTO_TEST_CASE(a_block_without_weighting) { check_gradient({1, 3, 2, 2}, LossWeighting::none); }

BOOST_AUTO_TEST_CASE(the_end_to_end_network) { check_gradient({0, 1, 0, 4}, LossWeighting::edm); }

}  // namespace blocktrain::blocks
