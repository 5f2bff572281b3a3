#include <boost/test/unit_test.hpp>
#include <cmath>
#include <numbers>

#include "kernels/cpu/philox_lanes.hpp"
#include "tests/kernels/op_case.hpp"

using namespace blocktrain::kernels;
using namespace blocktrain::kernels::testing;

namespace {

constexpr double tolerance = 2e-7;  // float32, relative to the largest number (about 4)
const RandomKey key{0xfedcba0987654321ull, Purpose::sampling, 2};

std::vector<double> normals(Ops& ops, const RandomKey& k, std::int64_t rows, std::int64_t columns, std::uint32_t step,
                            std::uint32_t first_sample) {
  Operands o(ops);
  ops.random_normal(o.output("out", {rows, columns}), k, step, first_sample);
  return o.read("out");
}

BOOST_AUTO_TEST_CASE(random_normal_agrees_with_the_reference) {
  for (const auto& [n, p] : std::vector<std::array<std::int64_t, 2>>{{1, 1}, {3, 17}, {20, 64}, {5, 3072}, {2, 9001}}) {
    check_parity("random_normal", tolerance, [&, n = n, p = p](Ops& ops, Operands& o) {
      ops.random_normal(o.output("out", {n, p}, p + 3), key, 9, 100);
    });
  }
}

BOOST_AUTO_TEST_CASE(numbers_near_zero_keep_their_digits) {
  // Where u is next to 1 the radius is next to 0: ln u has to come from 1 - u.
  const auto reference = make_reference_ops(), cpu = make_cpu_ops(1);
  const auto expected = normals(*reference, key, 100, 10000, 1, 0), got = normals(*cpu, key, 100, 10000, 1, 0);
  double worst = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double pair =
        i % 2 == 0 ? std::hypot(expected[i], expected[i + 1]) : std::hypot(expected[i], expected[i - 1]);
    worst = std::max(worst, std::abs(got[i] - expected[i]) / pair);
  }
  BOOST_TEST(worst < 6e-7);  // of the pair's radius, however small
}

BOOST_AUTO_TEST_CASE(the_numbers_are_normal) {
  const auto ops = make_cpu_ops(2);
  const std::vector<double> x = normals(*ops, key, 50, 20000, 4, 0);
  const double n = static_cast<double>(x.size());
  double m1 = 0, m2 = 0, m3 = 0, m4 = 0, within_pair = 0, neighbours = 0, rows = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    m1 += x[i] / n;
    m2 += x[i] * x[i] / n;
    m3 += x[i] * x[i] * x[i] / n;
    m4 += x[i] * x[i] * x[i] * x[i] / n;
    if (i % 2 == 0) within_pair += x[i] * x[i + 1] / n;
    if (i + 4 < x.size()) neighbours += x[i] * x[i + 4] / n;
    if (i + 20000 < x.size()) rows += x[i] * x[i + 20000] / n;
  }
  // Four standard deviations each: of the moments of N(0,1) and of products of independent numbers.
  const double unit = 4 / std::sqrt(n);
  BOOST_TEST(std::abs(m1) < unit);
  BOOST_TEST(std::abs(m2 - 1) < std::sqrt(2.0) * unit);
  BOOST_TEST(std::abs(m3) < std::sqrt(15.0) * unit);
  BOOST_TEST(std::abs(m4 - 3) < std::sqrt(96.0) * unit);
  BOOST_TEST(std::abs(within_pair) < unit);
  BOOST_TEST(std::abs(neighbours) < unit);
  BOOST_TEST(std::abs(rows) < unit);
  BOOST_TEST(kolmogorov_smirnov(x, normal_cdf) < 1.95);
  // The test is sharp enough to tell a deviation 1% off.
  BOOST_TEST(kolmogorov_smirnov(x, [](double v) { return normal_cdf(v / 1.01); }) > 1.95);
}

BOOST_AUTO_TEST_CASE(a_number_depends_on_its_coordinates_alone) {
  for_each_implementation([](Ops& ops, Operands&) {
    const std::vector<double> all = normals(ops, key, 6, 70, 8, 30);
    // The same sample in another batch, and in a shorter row: the same bits.
    const std::vector<double> alone = normals(ops, key, 1, 70, 8, 33);
    BOOST_TEST(alone == std::vector<double>(all.begin() + 3 * 70, all.begin() + 4 * 70));
    const std::vector<double> shorter = normals(ops, key, 1, 13, 8, 33);
    BOOST_TEST(shorter == std::vector<double>(alone.begin(), alone.begin() + 13));
    // Every coordinate matters.
    BOOST_TEST(normals(ops, key, 1, 70, 9, 33) != alone);
    BOOST_TEST(normals(ops, key, 1, 70, 8, 34) != alone);
    BOOST_TEST(normals(ops, {key.seed + 1, key.purpose, key.block}, 1, 70, 8, 33) != alone);
    BOOST_TEST(normals(ops, {key.seed + (1ull << 32), key.purpose, key.block}, 1, 70, 8, 33) != alone);
    BOOST_TEST(normals(ops, {key.seed, Purpose::noise, key.block}, 1, 70, 8, 33) != alone);
    BOOST_TEST(normals(ops, {key.seed, key.purpose, key.block + 1}, 1, 70, 8, 33) != alone);
  });
}

BOOST_AUTO_TEST_CASE(by_hand) {
  for_each_implementation([](Ops& ops, Operands& o) {
    ops.random_normal(o.output("out", {1, 5}), key, 2, 11);
    const auto first = random_words(key, 2, 11, 0), second = random_words(key, 2, 11, 1);
    const auto radius = [](std::uint32_t w) { return std::sqrt(-2 * std::log((w + 0.5) / 4294967296.0)); };
    const auto angle = [](std::uint32_t w) { return 2 * std::numbers::pi * ((w + 0.5) / 4294967296.0); };
    check_values(ops, o, "out",
                 {radius(first[0]) * std::cos(angle(first[1])), radius(first[0]) * std::sin(angle(first[1])),
                  radius(first[2]) * std::cos(angle(first[3])), radius(first[2]) * std::sin(angle(first[3])),
                  radius(second[0]) * std::cos(angle(second[1]))},
                 1e-6);
  });
}

BOOST_AUTO_TEST_CASE(philox_in_lanes_gives_the_words_of_random123) {
  for (const std::uint32_t first_group : {0u, 16u, 0xfffffff8u}) {
    for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{0x299f31d0a4093822}, ~std::uint64_t{0}}) {
      const RandomKey k{seed, Purpose::ancestral, 0xabcdef};
      PhiloxWords lanes;
      philox_groups(lanes, k, 17, 0xdeadbeef, first_group);
      for (std::uint32_t lane = 0; lane < philox_lanes; ++lane) {
        const auto words = random_words(k, 17, 0xdeadbeef, first_group + lane);
        for (std::size_t w = 0; w < 4; ++w) BOOST_TEST(lanes.word[w][lane] == words[w]);
      }
    }
  }
}

}  // namespace
