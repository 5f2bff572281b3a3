#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <numbers>

#include "tests/kernels/op_case.hpp"

using namespace blocktrain::kernels;
using namespace blocktrain::kernels::testing;

namespace {

const RandomKey key{2024, Purpose::sigma, 1};
constexpr std::int64_t draws = 20000;

SigmaInterval interval(double lo, double hi, SigmaCoordinate coordinate, double p_mean = -1.2, double p_std = 1.2) {
  SigmaInterval i;
  i.lo = lo;
  i.hi = hi;
  i.coordinate = coordinate;
  i.p_mean = p_mean;
  i.p_std = p_std;
  const auto z = [&](double sigma) { return (std::log(sigma) - p_mean) / p_std; };
  i.cdf_lo = normal_cdf(z(lo));
  i.cdf_hi = normal_cdf(z(hi));
  i.tail_lo = normal_cdf(-z(lo));
  i.tail_hi = normal_cdf(-z(hi));
  // A coordinate of its own: the cube of the way in ln sigma.
  for (int point = 0; point < sigma_table_points; ++point) {
    const double part = std::cbrt(point / (sigma_table_points - 1.0));
    i.log_sigma[point] = std::log(lo) + part * (std::log(hi) - std::log(lo));
  }
  return i;
}

/// Distribution function of the draws, from the definition of each coordinate.
double cdf(const SigmaInterval& i, SigmaCoordinate coordinate, double sigma) {
  const auto part = [&](double x, double lo, double hi) { return (x - lo) / (hi - lo); };
  switch (coordinate) {
    case SigmaCoordinate::sigma:
      return part(sigma, i.lo, i.hi);
    case SigmaCoordinate::log_sigma:
      return part(std::log(sigma), std::log(i.lo), std::log(i.hi));
    case SigmaCoordinate::table: {
      // Between two points the coordinate grows with ln sigma.
      const auto above = std::upper_bound(i.log_sigma + 1, i.log_sigma + sigma_table_points - 1, std::log(sigma));
      const double from = above[-1], to = *above;
      return (static_cast<double>(above - i.log_sigma) - 1 + (std::log(sigma) - from) / (to - from)) /
             (sigma_table_points - 1);
    }
    case SigmaCoordinate::normal:
      return part(normal_cdf((std::log(sigma) - i.p_mean) / i.p_std), i.cdf_lo, i.cdf_hi);
  }
  return -1;
}

std::vector<double> draw(Ops& ops, const SigmaInterval& i, std::int64_t n = draws, std::uint32_t first_sample = 0,
                         std::uint32_t step = 7, const RandomKey& k = key) {
  Operands o(ops);
  o.state.step = step;
  ops.draw_sigma(o.output("sigma", {n}), o.interval(i), k, &o.state, first_sample);
  return o.read("sigma");
}

const std::vector<SigmaCoordinate> coordinates{SigmaCoordinate::normal, SigmaCoordinate::log_sigma,
                                               SigmaCoordinate::sigma, SigmaCoordinate::table};

/// Blocks of the usual four, the whole range, and intervals so far out that the CDF, or the tail, is 1 in double.
std::vector<SigmaInterval> intervals() {
  std::vector<SigmaInterval> all;
  for (const SigmaCoordinate c : coordinates) {
    all.push_back(interval(0.6766486, 80, c));
    all.push_back(interval(0.28, 0.70, c));
    all.push_back(interval(0.002, 0.1340761, c));
    all.push_back(interval(0.002, 80, c));
    all.push_back(interval(30, 80, c, -1.2, 0.5));
    all.push_back(interval(1e-4, 0.002, c, -1.2, 0.5));
  }
  return all;
}

BOOST_AUTO_TEST_CASE(draws_agree_with_the_reference) {
  const auto reference = make_reference_ops(), one = make_cpu_ops(1), three = make_cpu_ops(3);
  for (const SigmaInterval& i : intervals()) {
    const std::vector<double> expected = draw(*reference, i), got = draw(*one, i);
    BOOST_TEST(got == draw(*three, i), "other bits on 3 threads");
    // Rounded once: a draw precise to 1e-10 gives another float32 than the exact one in about 1 of 1000 cases at most.
    std::int64_t differ = 0;
    double worst = 0;
    for (std::size_t n = 0; n < got.size(); ++n) {
      differ += got[n] == static_cast<double>(static_cast<float>(expected[n])) ? 0 : 1;
      worst = std::max(worst, std::abs(got[n] / expected[n] - 1));
    }
    BOOST_TEST(differ <= 2);
    BOOST_TEST(worst <= 6.0e-8);  // half a unit in the last place
  }
}

BOOST_AUTO_TEST_CASE(every_implementation_draws_the_same) {
  for (const SigmaInterval& i : intervals()) {
    check_parity("draw_sigma", 1.2e-7, [&](Ops& ops, Operands& o) {
      o.state.step = 5;
      ops.draw_sigma(o.output("sigma", {3000}), o.interval(i), {9, Purpose::sigma, 2}, &o.state, 40);
    });
  }
}

BOOST_AUTO_TEST_CASE(draws_follow_the_stated_distribution_and_no_other) {
  const auto ops = make_cpu_ops(2);
  for (const auto& [lo, hi] : std::vector<std::pair<double, double>>{{0.6766486, 80}, {0.28, 0.70}, {0.002, 0.134}}) {
    for (const SigmaCoordinate drawn : coordinates) {
      const SigmaInterval i = interval(lo, hi, drawn);
      const std::vector<double> sigma = draw(*ops, i);
      for (const SigmaCoordinate judged : coordinates) {
        const double statistic = kolmogorov_smirnov(sigma, [&](double s) { return cdf(i, judged, s); });
        // 1.95 rejects one right sample in a thousand, 3 one in 30 million; the seed is fixed. A wrong coordinate must
        // stand out, also on a narrow interval, where two of them are close.
        if (judged == drawn) {
          BOOST_TEST(statistic < 1.95);
        } else {
          BOOST_TEST(statistic > 3);
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(draws_stay_inside_the_interval_and_fill_it) {
  for_each_implementation([](Ops& ops, Operands&) {
    for (const SigmaInterval& i : intervals()) {
      std::vector<double> sigma = draw(ops, i);
      const auto [least, most] = std::minmax_element(sigma.begin(), sigma.end());
      BOOST_TEST(*least >= i.lo * (1 - 6e-8));
      BOOST_TEST(*most <= i.hi * (1 + 6e-8));
      std::sort(sigma.begin(), sigma.end());
      const auto distinct = std::unique(sigma.begin(), sigma.end()) - sigma.begin();
      BOOST_TEST(distinct > draws * 9 / 10);
    }
  });
}

BOOST_AUTO_TEST_CASE(the_asked_share_is_exactly_hi) {
  for_each_implementation([](Ops& ops, Operands&) {
    SigmaInterval i = interval(0.6766486, 80, SigmaCoordinate::normal);
    const std::vector<double> without = draw(ops, i);
    i.at_hi_fraction = 0.25;
    const std::vector<double> with = draw(ops, i);
    std::int64_t at_hi = 0, wrong = 0;
    for (std::uint32_t n = 0; n < draws; ++n) {
      const bool chosen = uniform_open(random_words(key, 7, n, 0)[1]) < 0.25;
      at_hi += chosen ? 1 : 0;
      wrong += with[n] == (chosen ? 80.0 : without[n]) ? 0 : 1;
    }
    BOOST_TEST(wrong == 0);
    BOOST_TEST(std::abs(at_hi - draws / 4) < 4 * 62);  // sqrt(20000 * 0.25 * 0.75) = 61.2
    BOOST_TEST(std::count(without.begin(), without.end(), 80.0) == 0);
    i.at_hi_fraction = 1;
    const std::vector<double> all = draw(ops, i);
    BOOST_TEST(std::count(all.begin(), all.end(), 80.0) == draws);
  });
}

BOOST_AUTO_TEST_CASE(a_draw_depends_on_its_coordinates_alone) {
  for_each_implementation([](Ops& ops, Operands&) {
    const SigmaInterval i = interval(0.28, 0.70, SigmaCoordinate::normal);
    const std::vector<double> all = draw(ops, i, 200, 50);
    BOOST_TEST(draw(ops, i, 3, 150) == std::vector<double>(all.begin() + 100, all.begin() + 103));
    BOOST_TEST(draw(ops, i, 200, 50, 8) != all);
    BOOST_TEST(draw(ops, i, 200, 50, 7, {key.seed + 1, key.purpose, key.block}) != all);
    BOOST_TEST(draw(ops, i, 200, 50, 7, {key.seed, key.purpose, key.block + 1}) != all);
    BOOST_TEST(draw(ops, i, 200, 50, 7, {key.seed, Purpose::heldout_sigma, key.block}) != all);
  });
}

BOOST_AUTO_TEST_CASE(by_hand) {
  for_each_implementation([](Ops& ops, Operands&) {
    const double u = uniform_open(random_words(key, 7, 0, 0)[0]);
    BOOST_TEST(std::abs(draw(ops, interval(1, 3, SigmaCoordinate::sigma), 1)[0] - (1 + 2 * u)) < 2e-7);
    BOOST_TEST(std::abs(draw(ops, interval(1, 4, SigmaCoordinate::log_sigma), 1)[0] - std::pow(4.0, u)) < 3e-7);
    // An interval of one point.
    BOOST_TEST(draw(ops, interval(2, 2, SigmaCoordinate::normal), 1)[0] == 2);
  });
}

}  // namespace
