// The equal information partition: entropies known in closed form, and the edges that a small measurement gave.

#include "blocks/noise/equal_information.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <numbers>
#include <numeric>
#include <vector>

#include "blocks/noise/schedule.hpp"
#include "kernels/error.hpp"
#include "kernels/random.hpp"

namespace blocktrain::blocks {
namespace {

/// Rows of unit length, drawn from the sphere.
std::vector<float> random_rows(std::int64_t classes, std::int64_t width, std::uint64_t seed) {
  std::vector<float> rows;
  for (std::int64_t v = 0; v < classes; ++v) {
    std::vector<double> row;
    for (std::int64_t i = 0; i < width; ++i) {
      const auto w = kernels::random_words({seed, kernels::Purpose::test}, 0, static_cast<std::uint32_t>(v),
                                           static_cast<std::uint32_t>(i));
      row.push_back(std::sqrt(-2 * std::log(kernels::uniform_open(w[0]))) *
                    std::cos(2 * std::numbers::pi * kernels::uniform_open(w[1])));
    }
    const double norm = std::sqrt(std::inner_product(row.begin(), row.end(), row.begin(), 0.0));
    for (const double x : row) rows.push_back(static_cast<float>(x / norm));
  }
  return rows;
}

/// The schedule of so many blocks over the curve's range.
NoiseSchedule schedule_of(const InformationCurve& curve, int count, double overlap = 0) {
  NoiseSettings s;
  s.partition = Partition::equal_information;
  s.sigma_min = std::exp(curve.log_sigma.front());
  s.sigma_max = std::exp(curve.log_sigma.back());
  s.overlap = overlap;
  s.information = curve.entropy;
  return {s, count};
}

/// H(y | z) of two classes at opposite ends of a line, by integrating over z along it.
double entropy_of_two_opposite_rows(double sigma) {
  const auto density = [&](double z, double mean) {
    return std::exp(-(z - mean) * (z - mean) / (2 * sigma * sigma)) / (sigma * std::sqrt(2 * std::numbers::pi));
  };
  double sum = 0;
  constexpr int steps = 20000;
  const double reach = 1 + 10 * sigma, width = 2 * reach / steps;
  for (int i = 0; i < steps; ++i) {
    const double z = -reach + (i + 0.5) * width, a = density(z, 1) / 2, b = density(z, -1) / 2, p = a / (a + b);
    if (p > 0 && p < 1) sum += width * (a + b) * -(p * std::log(p) + (1 - p) * std::log(1 - p));
  }
  return sum;
}

BOOST_AUTO_TEST_CASE(entropy_of_two_classes_is_the_integral) {
  const std::vector<float> rows = {1, 0, 0, -1, 0, 0};
  const InformationCurve curve = information_curve({rows, 2, 3, {}}, 0.05, 20, 1);
  for (const double sigma : {0.3, 0.6, 1.0, 2.0}) {
    // 4096 draws of an entropy between 0 and ln 2: the mean's deviation is below 0.004.
    BOOST_TEST(std::abs(curve.entropy_at(sigma) - entropy_of_two_opposite_rows(sigma)) < 0.015, sigma);
  }
  BOOST_TEST(curve.entropy.front() < 1e-6);
  BOOST_TEST(std::abs(curve.entropy.back() - std::numbers::ln2) < 0.005);
}

BOOST_AUTO_TEST_CASE(frequencies_bound_the_entropy) {
  const std::vector<float> rows = random_rows(3, 8, 4);
  const std::vector<double> often = {6, 3, 1}, one_missing = {1, 1, 0};
  const double prior = -(0.6 * std::log(0.6) + 0.3 * std::log(0.3) + 0.1 * std::log(0.1));
  BOOST_TEST(std::abs(information_curve({rows, 3, 8, often}, 0.03, 100, 2).entropy.back() - prior) < 0.01);
  BOOST_TEST(std::abs(information_curve({rows, 3, 8, one_missing}, 0.03, 100, 2).entropy.back() - std::numbers::ln2) <
             0.01);
}

BOOST_AUTO_TEST_CASE(edges_fall_by_equal_steps_of_entropy) {
  const std::vector<float> rows = random_rows(10, 16, 5);
  const InformationCurve curve = information_curve({rows, 10, 16, {}}, 0.03, 6, 3);
  const std::vector<double> edges = schedule_of(curve, 4).edges();
  BOOST_REQUIRE_EQUAL(edges.size(), 5);
  BOOST_TEST(edges.front() == 6, boost::test_tools::tolerance(1e-14));
  BOOST_TEST(edges.back() == 0.03, boost::test_tools::tolerance(1e-14));
  const double whole = curve.entropy.back() - curve.entropy.front();
  for (std::size_t b = 0; b < 4; ++b) {
    const double share = curve.entropy_at(edges[b]) - curve.entropy_at(edges[b + 1]);
    BOOST_TEST(share == whole / 4, boost::test_tools::tolerance(1e-9));
  }
  for (std::size_t i = 1; i < curve.entropy.size(); ++i) BOOST_TEST(curve.entropy[i] >= curve.entropy[i - 1]);
}

BOOST_AUTO_TEST_CASE(sampler_levels_and_draws_follow_the_entropy) {
  const std::vector<float> rows = random_rows(10, 16, 5);
  const InformationCurve curve = information_curve({rows, 10, 16, {}}, 0.03, 6, 3);
  const NoiseSchedule schedule = schedule_of(curve, 3, 0.05);
  BOOST_TEST(schedule.sampling_edges(3) == schedule.edges(), boost::test_tools::per_element());
  const std::vector<double> six = schedule.sampling_edges(6);
  for (std::size_t b = 0; b <= 3; ++b) BOOST_TEST(six[2 * b] == schedule.edges()[b]);
  for (int b = 0; b < 3; ++b) {
    const kernels::SigmaInterval interval = schedule.training_interval(b, NoiseSampling::partition, 0.25);
    BOOST_TEST((interval.coordinate == kernels::SigmaCoordinate::table));
    const NoiseRange range = schedule.trained(b);
    constexpr int last = kernels::sigma_table_points - 1;
    BOOST_TEST(interval.log_sigma[0] == std::log(range.lo));
    BOOST_TEST(interval.log_sigma[last] == std::log(range.hi));
    const double from = curve.entropy_at(range.lo), to = curve.entropy_at(range.hi);
    for (int i = 0; i <= last; ++i) {
      const double entropy = curve.entropy_at(std::exp(interval.log_sigma[i]));
      BOOST_TEST(std::abs(entropy - (from + (to - from) * i / last)) < 1e-9 * to, b << " " << i);
    }
  }
  BOOST_TEST(schedule.training_interval(0, NoiseSampling::partition, 0.25).at_hi_fraction == 0.25);
}

BOOST_AUTO_TEST_CASE(edges_are_where_a_measurement_found_them) {
  // 65 characters in 64 dimensions on [0.03, 6], four blocks: 0.7243, 0.4828, 0.3515 with the frequencies of a text
  // (method: section 6). With equal ones more is hidden, and edges lie a little lower.
  const std::vector<float> rows = random_rows(65, 64, 6);
  const std::vector<double> edges = schedule_of(information_curve({rows, 65, 64, {}}, 0.03, 6, 3), 4).edges();
  BOOST_TEST(std::abs(edges[1] - 0.72) < 0.15);
  BOOST_TEST(std::abs(edges[2] - 0.48) < 0.10);
  BOOST_TEST(std::abs(edges[3] - 0.35) < 0.07);
}

BOOST_AUTO_TEST_CASE(draws_follow_from_the_seed) {
  const std::vector<float> rows = random_rows(5, 8, 7);
  const ClassTable table{rows, 5, 8, {}};
  BOOST_TEST(information_curve(table, 0.03, 6, 1).entropy == information_curve(table, 0.03, 6, 1).entropy);
  BOOST_TEST(information_curve(table, 0.03, 6, 1).entropy != information_curve(table, 0.03, 6, 2).entropy);
}

BOOST_AUTO_TEST_CASE(a_range_without_information_is_refused) {
  const std::vector<float> rows = random_rows(5, 8, 7);
  // Below 0.02 the nearest row is the answer: nothing is left to share out.
  const InformationCurve flat = information_curve({rows, 5, 8, {}}, 0.001, 0.02, 1);
  BOOST_CHECK_EXCEPTION(schedule_of(flat, 3), InputError, [](const InputError& e) {
    return std::string(e.what()).find("take fewer blocks") != std::string::npos;
  });
  BOOST_CHECK_EQUAL(schedule_of(flat, 1).edges().size(), 2);
}

}  // namespace
}  // namespace blocktrain::blocks
