// Frechet distances against closed forms. The sets are built so that their means and covariances are exact.

#include "trainer/tasks/images/frechet.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/error.hpp"
#include "kernels/random.hpp"
#include "trainer/tasks/images/image_features.hpp"

namespace blocktrain::trainer {
namespace {

namespace tt = boost::test_tools;

/// 2n points at +-s_j sqrt((2n-1)/2) along axis j around `mean`: covariance exactly diag(s_j^2) but for rounding.
std::vector<float> on_axes(const std::vector<double>& deviations, const std::vector<double>& mean) {
  const std::size_t n = deviations.size();
  std::vector<float> points;
  for (std::size_t j = 0; j < n; ++j) {
    for (const double sign : {1.0, -1.0}) {
      for (std::size_t i = 0; i < n; ++i) {
        const double reach = deviations[j] * std::sqrt((2 * static_cast<double>(n) - 1) / 2);
        points.push_back(static_cast<float>(mean[i] + (i == j ? sign * reach : 0)));
      }
    }
  }
  return points;
}

std::vector<float> keyed_points(std::int64_t count, std::int64_t dimensions, std::uint32_t set) {
  std::vector<float> points;
  for (std::int64_t i = 0; i < count * dimensions; ++i) {
    const auto words = kernels::random_words({5, kernels::Purpose::test, set}, 0, 0, static_cast<std::uint32_t>(i));
    points.push_back(static_cast<float>(kernels::uniform_open(words[0]) - 0.5));
  }
  return points;
}

double distance(const std::vector<float>& a, const std::vector<float>& b, std::int64_t dimensions) {
  return FrechetReference(moments(a, dimensions)).distance(moments(b, dimensions));
}

}  // namespace

BOOST_AUTO_TEST_CASE(moments_of_three_points_worked_by_hand) {
  // (0,0), (3,0), (0,6): mean (1,2); sums of products 6, 24, -6 over 2.
  const Moments m = moments(std::vector<float>{0, 0, 3, 0, 0, 6}, 2);
  BOOST_TEST(m.count == 3);
  BOOST_TEST(m.mean == (std::vector<double>{1, 2}), tt::per_element());
  BOOST_TEST(m.covariance == (std::vector<double>{3, -3, -3, 12}), tt::per_element());
}

BOOST_AUTO_TEST_CASE(moments_agree_with_plain_sums_over_many_rows) {
  // More rows than go through the product at once.
  const std::int64_t n = 700, d = 5;
  const std::vector<float> x = keyed_points(n, d, 1);
  const Moments m = moments(x, d);
  for (std::int64_t a = 0; a < d; ++a) {
    for (std::int64_t b = 0; b < d; ++b) {
      double sum = 0;
      for (std::int64_t i = 0; i < n; ++i) sum += (x[i * d + a] - m.mean[a]) * (x[i * d + b] - m.mean[b]);
      BOOST_TEST(m.covariance[a * d + b] == sum / static_cast<double>(n - 1), tt::tolerance(1e-12));
    }
  }
}

BOOST_AUTO_TEST_CASE(equal_sets_have_distance_zero) {
  const std::vector<float> x = keyed_points(300, 12, 2);
  BOOST_TEST(std::abs(distance(x, x, 12)) < 1e-10);
}

BOOST_AUTO_TEST_CASE(a_shift_costs_its_squared_length) {
  const std::vector<double> s{0.5, 1, 2};
  BOOST_TEST(distance(on_axes(s, {0, 0, 0}), on_axes(s, {1, -2, 0.5}), 3) == 5.25, tt::tolerance(1e-6));
}

BOOST_AUTO_TEST_CASE(diagonal_covariances_cost_the_squared_differences_of_deviations) {
  // Sum of (s1 - s2)^2, and the shift on top.
  const double d = distance(on_axes({1, 2, 3}, {0, 0, 0}), on_axes({2, 2, 0.5}, {0, 0, 1}), 3);
  BOOST_TEST(d == 1 + 0 + 6.25 + 1, tt::tolerance(1e-6));
}

BOOST_AUTO_TEST_CASE(covariances_that_do_not_commute_in_two_dimensions) {
  // tr (S1 S2)^(1/2) = sqrt(tr(S1 S2) + 2 sqrt(det(S1) det(S2))) for 2x2.
  const Moments a = moments(keyed_points(50, 2, 3), 2);
  Moments b = moments(keyed_points(60, 2, 4), 2);
  for (double& x : b.covariance) x *= 3;
  b.covariance[1] += 0.1;
  b.covariance[2] += 0.1;
  const auto det = [](const Moments& m) {
    return m.covariance[0] * m.covariance[3] - m.covariance[1] * m.covariance[2];
  };
  double product_trace = 0, traces = 0, shift = 0;
  for (int i = 0; i < 2; ++i) {
    for (int j = 0; j < 2; ++j) product_trace += a.covariance[i * 2 + j] * b.covariance[j * 2 + i];
    traces += a.covariance[i * 3] + b.covariance[i * 3];
    shift += (a.mean[i] - b.mean[i]) * (a.mean[i] - b.mean[i]);
  }
  const double expected = shift + traces - 2 * std::sqrt(product_trace + 2 * std::sqrt(det(a) * det(b)));
  BOOST_TEST(FrechetReference(a).distance(b) == expected, tt::tolerance(1e-10));
  BOOST_TEST(FrechetReference(b).distance(a) == expected, tt::tolerance(1e-10));
}

BOOST_AUTO_TEST_CASE(fewer_points_than_dimensions_and_flat_sets_still_have_a_distance) {
  // One point twice: covariance 0; d^2 = |shift|^2 + tr(S).
  const std::vector<float> still(40, 0.25F);
  const Moments spread = moments(on_axes(std::vector<double>(20, 1.0), std::vector<double>(20, 0.25)), 20);
  BOOST_TEST(FrechetReference(moments(still, 20)).distance(spread) == 20, tt::tolerance(1e-6));
  const std::vector<float> few = keyed_points(3, 20, 6);
  BOOST_TEST(distance(few, few, 20) < 1e-6);
}

BOOST_AUTO_TEST_CASE(numbers_that_are_not_finite_are_an_error) {
  std::vector<float> x = keyed_points(10, 3, 7);
  const FrechetReference reference(moments(x, 3));
  x[4] = std::numeric_limits<float>::quiet_NaN();
  BOOST_CHECK_THROW(reference.distance(moments(x, 3)), RunError);
}

BOOST_AUTO_TEST_CASE(large_images_are_averaged_to_at_most_1024_numbers) {
  BOOST_TEST(pixel_space({1, 28, 28}).dimensions() == 784);
  BOOST_TEST(pixel_space({1, 28, 28}).name() == "pixels");
  BOOST_TEST(pixel_space({1, 32, 32}).pool == 1);
  BOOST_TEST(pixel_space({3, 32, 32}).name() == "pixels averaged over 2x2");
  BOOST_TEST(pixel_space({3, 32, 32}).dimensions() == 768);
  BOOST_TEST(pixel_space({3, 100, 60}).dimensions() <= 1024);
  // 2 channels of 33x34 over 3x3, the last rows and columns cut.
  const ImageShape shape{2, 33, 34};
  const PixelSpace space = pixel_space(shape);
  BOOST_REQUIRE(space.pool == 3);
  std::vector<float> image(static_cast<std::size_t>(shape.size()), 0.0F);
  image[0] = 9;                                                 // first square of the first channel
  image[static_cast<std::size_t>(33 * 34 + 32 * 34 + 33)] = 6;  // last pixel: a square of 3 rows and 1 column
  const std::vector<float> v = pixel_vectors(image, space);
  BOOST_REQUIRE(static_cast<std::int64_t>(v.size()) == space.dimensions());
  BOOST_TEST(v.front() == 1.0F);
  BOOST_TEST(v.back() == 2.0F);
}

}  // namespace blocktrain::trainer
