// The CPU's float32 against the reference's float64, and its independence of the number of threads, on a whole block.
#include <boost/test/unit_test.hpp>

#include "blocks/parameters.hpp"
#include "tests/blocks/support.hpp"

namespace blocktrain::blocks {
namespace {

using kernels::DType;
using test::BoundBlock;
using test::Samples;
using test::values_of;

constexpr std::int64_t samples = 31;  // rows enough for two chunks

struct Result {
  std::vector<double> loss, mse, gradient, denoised;
};

Result run(kernels::Ops& ops, const BlockPlace& place) {
  const DitConfig c = test::odd_config();
  BoundBlock d(c, place, ops.dtype(), samples);
  d.randomize(0.2);
  const Samples s(c, ops.dtype(), samples);
  const test::HostTensor out(ops.dtype(), {samples, c.channels, c.height, c.width_px});
  const SampleLosses losses = d->accumulate_gradient_at(ops, s.input(), 1.0 / samples);
  d->denoise(ops, *out, s.input());
  ops.synchronize();
  return {values_of(losses.loss), values_of(losses.unweighted), values_of(d.gradient()), values_of(*out)};
}

}  // namespace

BOOST_AUTO_TEST_CASE(cpu_agrees_with_the_reference) {
  for (const BlockPlace& place : {BlockPlace{1, 3, 2, 2}, BlockPlace{0, 1, 0, 3}}) {
    const auto cpu = kernels::make_cpu_ops(2), reference = kernels::make_reference_ops();
    const Result a = run(*cpu, place), b = run(*reference, place);
    // Float32 rounding, 6e-8, grown by a few layers; an error in one of 31 samples would show as 1e-2 and more.
    BOOST_TEST(test::relative_difference(a.loss, b.loss) < 5e-6);
    BOOST_TEST(test::relative_difference(a.mse, b.mse) < 5e-6);
    BOOST_TEST(test::relative_difference(a.denoised, b.denoised) < 5e-6);
    const auto d = test::dit_block(test::odd_config(), place);
    for (const Parameter& p : d->parameters()) {
      const auto part = [&p](const std::vector<double>& v) {
        return std::vector<double>(v.begin() + p.offset, v.begin() + p.offset + p.size);
      };
      BOOST_TEST(test::norm(part(b.gradient)) > 0, p.name);
      BOOST_TEST(test::relative_difference(part(a.gradient), part(b.gradient)) < 2e-5, p.name);
    }
  }
}

BOOST_AUTO_TEST_CASE(threads_do_not_change_a_bit) {
  const BlockPlace place{1, 3, 2, 2};
  const auto one = kernels::make_cpu_ops(1), three = kernels::make_cpu_ops(3);
  const Result a = run(*one, place), b = run(*three, place);
  BOOST_TEST((a.loss == b.loss));
  BOOST_TEST((a.gradient == b.gradient));
  BOOST_TEST((a.denoised == b.denoised));
}

BOOST_AUTO_TEST_CASE(equal_steps_give_equal_bits) {
  const BlockPlace place{0, 2, 0, 1};
  const auto ops = kernels::make_cpu_ops(2);
  const Result a = run(*ops, place), b = run(*ops, place);
  BOOST_TEST((a.loss == b.loss));
  BOOST_TEST((a.gradient == b.gradient));
}

}  // namespace blocktrain::blocks
