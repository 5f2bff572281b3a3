#include "blocks/noise/sampler.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>

#include "blocks/noise/schedule.hpp"
#include "tests/blocks/support.hpp"

namespace blocktrain::blocks {
namespace {

using kernels::DType;
using kernels::Tensor;
using test::HostTensor;
using test::values_of;

constexpr std::int64_t channels = 2, side = 3, elements = channels * side * side;

struct Fixed {
  explicit Fixed(std::int64_t n)
      : samples(n),
        y(DType::float64, {samples, channels, side, side}, test::normal_values("y", samples * elements, 0.5)),
        label(DType::int32, {samples}) {
    kernels::Arena measured = kernels::Arena::measuring("sampler");
    sampler.bind(measured, DType::float64, samples, {channels, side, side});
    arena = kernels::Arena::host("sampler", measured.peak());
    sampler.bind(arena, DType::float64, samples, {channels, side, side});
  }

  Batch batch(std::uint32_t first_sample = 0) const { return test::image_batch({}, *label, first_sample); }

  std::unique_ptr<kernels::Ops> ops = kernels::make_reference_ops();
  std::int64_t samples;
  HostTensor y, label;
  kernels::Arena arena = kernels::Arena::measuring("not yet");
  Sampler sampler;
};

SamplerSettings settings(SamplerKind kind) { return {kind, 4, 0.5}; }

/// The exact denoiser of a target N(m, sd^2): D = m + (z - m) sd^2 / (sd^2 + sigma^2). The ODE's solution from
/// z at sigma_max is m + (z - m) sqrt((sd^2 + sigma^2) / (sd^2 + sigma_max^2)).
struct GaussianTarget {
  double mean, deviation;
  void operator()(const Tensor& d, const Tensor& z, double sigma) const {
    const double share = deviation * deviation / (deviation * deviation + sigma * sigma);
    for (std::int64_t i = 0; i < z.size(); ++i) {
      d.as<double>()[i] = mean + (z.as<double>()[i] - mean) * share;
    }
  }
};

const SamplerKind kinds[] = {SamplerKind::euler, SamplerKind::heun, SamplerKind::ancestral};

}  // namespace

BOOST_AUTO_TEST_CASE(an_euler_step_of_a_perfect_denoiser_lands_on_the_next_level) {
  Fixed f(3);
  const HostTensor z(DType::float64, {3, channels, side, side});
  const std::vector<double> eps = test::normal_values("eps", 3 * elements, 1);
  const auto edges = NoiseSchedule({}, 4).edges();
  for (std::int64_t i = 0; i < 3 * elements; ++i) {
    test::set(*z, i, test::get(*f.y, i) + edges[0] * eps[static_cast<std::size_t>(i)]);
  }
  for (std::size_t b = 0; b < 4; ++b) {
    euler_step(*f.ops, *z, *f.y, edges[b], edges[b + 1]);
    for (std::int64_t i = 0; i < 3 * elements; ++i) {
      const double expected = test::get(*f.y, i) + edges[b + 1] * eps[static_cast<std::size_t>(i)];
      BOOST_REQUIRE_SMALL(test::get(*z, i) - expected, 1e-13);
    }
  }
}

BOOST_AUTO_TEST_CASE(every_level_but_the_last_is_asked_in_order_and_the_last_estimate_is_the_answer) {
  const std::vector<double> edges{80, 5, 1, 0.3, 0.002};
  for (const SamplerKind kind : kinds) {
    Fixed f(2);
    std::vector<double> asked;
    const DenoiseFunction perfect = [&](const Tensor& d, const Tensor& z, double sigma, const Batch& conditions) {
      asked.push_back(sigma);
      BOOST_TEST(conditions.fields[1].data == (*f.label).data);
      BOOST_TEST(z.dim(0) == 2);
      f.ops->copy(d, *f.y);
    };
    BOOST_TEST(values_of(f.sampler.run(*f.ops, perfect, edges, f.batch(), f.samples, settings(kind))) ==
               values_of(*f.y));
    const std::vector<double> once{80, 5, 1, 0.3}, twice{80, 5, 5, 1, 1, 0.3, 0.3};
    BOOST_TEST(asked == (kind == SamplerKind::heun ? twice : once));
  }
}

BOOST_AUTO_TEST_CASE(a_perfect_denoiser_sees_noise_of_the_level_it_is_told) {
  // Also after ancestral steps, whose noise is drawn anew.
  const std::vector<double> edges{80, 5, 1, 0.3, 0.002};
  const std::int64_t samples = 400;
  for (const SamplerKind kind : kinds) {
    Fixed f(samples);
    std::vector<double> last;
    const DenoiseFunction perfect = [&](const Tensor& d, const Tensor& z, double sigma, const Batch&) {
      double square = 0, product = 0;
      const std::vector<double> v = values_of(z), y = values_of(*f.y);
      for (std::size_t i = 0; i < v.size(); ++i) {
        const double eps = (v[i] - (sigma == edges[0] ? 0 : y[i])) / sigma;
        square += eps * eps;
        product += last.empty() ? 0 : eps * last[i];
      }
      const double n = static_cast<double>(v.size());
      // Five standard errors of the variance of n normal numbers.
      BOOST_TEST(std::abs(square / n - 1) < 5 * std::sqrt(2 / n), "at sigma " << sigma << ": " << square / n);
      // The first noise stays for the ODE, and is mostly gone after an ancestral step to a fifth of the level and less.
      if (!last.empty() && kind == SamplerKind::euler) BOOST_TEST(product / n > 0.95);
      if (!last.empty() && kind == SamplerKind::ancestral) BOOST_TEST(product / n < 0.35);
      last = v;
      for (std::size_t i = 0; i < v.size(); ++i) last[i] = (v[i] - (sigma == edges[0] ? 0 : y[i])) / sigma;
      f.ops->copy(d, *f.y);
    };
    f.sampler.run(*f.ops, perfect, edges, f.batch(), f.samples, settings(kind));
  }
}

BOOST_AUTO_TEST_CASE(samples_start_as_noisy_targets_are_distributed) {
  // A target of deviation sd_y with noise of level sigma has deviation sqrt(sd_y^2 + sigma^2): at sigma = sd_y that is
  // far from either alone.
  for (const SamplerKind kind : kinds) {
    for (const double deviation : {0.5, 2.0}) {
      const std::int64_t samples = 3;
      const SamplerSettings asked{kind, 4, deviation};
      const HostTensor normal(DType::float64, {samples, elements});
      Fixed f(samples);
      f.ops->random_normal(*normal, {4, kernels::Purpose::sampling, 0}, 0, 7);
      bool first = true;
      const DenoiseFunction look = [&](const Tensor& d, const Tensor& z, double, const Batch&) {
        if (first) {
          const std::vector<double> found = values_of(z), unit = values_of(*normal);
          for (std::size_t i = 0; i < found.size(); ++i) {
            BOOST_REQUIRE_CLOSE(found[i], unit[i] * deviation * std::sqrt(2.0), 1e-9);
          }
        }
        first = false;
        f.ops->copy(d, *f.y);
      };
      f.sampler.run(*f.ops, look, {deviation, deviation / 3, 0.01}, f.batch(7), f.samples, asked);
      BOOST_TEST(!first);
    }
  }
}

BOOST_AUTO_TEST_CASE(euler_is_of_first_order_and_heun_of_second) {
  const GaussianTarget target{0.3, 0.5};
  NoiseSettings noise;
  noise.partition = Partition::uniform_log;
  noise.sigma_min = 0.1;
  noise.sigma_max = 10;
  const auto error = [&](SamplerKind kind, int steps) {
    Fixed f(1);
    const auto edges = NoiseSchedule(noise, 1).sampling_edges(steps);
    const double last = edges[edges.size() - 2];
    std::vector<double> start;
    const DenoiseFunction denoise = [&](const Tensor& d, const Tensor& z, double sigma, const Batch&) {
      if (start.empty()) start = values_of(z);
      target(d, z, sigma);
    };
    const std::vector<double> found =
        values_of(f.sampler.run(*f.ops, denoise, edges, f.batch(), f.samples, settings(kind)));
    const double shrink = std::sqrt((0.25 + last * last) / (0.25 + 100)) * 0.25 / (0.25 + last * last);
    std::vector<double> expected = start;
    for (double& x : expected) x = 0.3 + (x - 0.3) * shrink;
    return test::relative_difference(found, expected);
  };
  for (const auto& [kind, order] : {std::pair{SamplerKind::euler, 1.0}, std::pair{SamplerKind::heun, 2.0}}) {
    const double coarse = error(kind, 40), fine = error(kind, 80);
    BOOST_TEST(coarse > 1e-5);
    BOOST_TEST(std::abs(std::log2(coarse / fine) - order) < 0.2, std::log2(coarse / fine));
  }
}

BOOST_AUTO_TEST_CASE(a_sample_does_not_depend_on_its_batch) {
  const GaussianTarget target{0.3, 0.5};
  const auto edges = NoiseSchedule({}, 1).sampling_edges(6);
  const auto ops = kernels::make_reference_ops();
  const DenoiseFunction denoise = [&](const Tensor& d, const Tensor& z, double sigma, const Batch&) {
    target(d, z, sigma);
  };
  for (const SamplerKind kind : kinds) {
    Fixed many(7);
    const auto all = values_of(many.sampler.run(*ops, denoise, edges, many.batch(), many.samples, settings(kind)));
    // Samples 4..6 by themselves, in a sampler with room for more.
    const auto some = values_of(
        many.sampler.run(*ops, denoise, edges, test::image_batch({}, (*many.label).rows(0, 3), 4), 3, settings(kind)));
    BOOST_TEST(std::vector<double>(all.begin() + 4 * elements, all.end()) == some);
    SamplerSettings other = settings(kind);
    other.seed = 5;
    BOOST_TEST(values_of(many.sampler.run(*ops, denoise, edges, many.batch(), many.samples, other)) != all);
  }
}

}  // namespace blocktrain::blocks
