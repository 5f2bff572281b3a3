// The gradient of a whole block and of the end-to-end network against central differences, in float64 on the reference
// ops.
#include <boost/test/unit_test.hpp>

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

void check_gradient(const BlockPlace& place, LossWeighting weighting) {
  const DitConfig config = test::small_config();
  const auto ops = kernels::make_reference_ops();
  test::BoundBlock d(config, place, DType::float64, samples, weighting);
  d.randomize();
  const test::Samples s(config, DType::float64, samples);
  test::check_gradient(d, [&] { return scaled_loss(*ops, *d, s); });
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_block) { check_gradient({1, 3, 2, 2}, LossWeighting::edm); }

BOOST_AUTO_TEST_CASE(a_block_without_weighting) { check_gradient({1, 3, 2, 2}, LossWeighting::none); }

BOOST_AUTO_TEST_CASE(the_end_to_end_network) { check_gradient({0, 1, 0, 4}, LossWeighting::edm); }

}  // namespace blocktrain::blocks
