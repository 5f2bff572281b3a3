#include <boost/test/unit_test.hpp>
#include <cmath>

#include "tests/kernels/op_case.hpp"

using namespace blocktrain::kernels;
using namespace blocktrain::kernels::testing;

namespace {

const RandomKey key{77, Purpose::dropout, 3};

std::vector<double> dropped(Ops& ops, std::int64_t rows, std::int64_t columns, double p, const RandomKey& k = key,
                            std::uint32_t step = 7, std::uint32_t first_sample = 0) {
  Operands o(ops);
  o.state.step = step;
  ops.dropout(o.output("out", {rows, columns}), o.input("x", {rows, columns}, constant(1)), p, k, &o.state,
              first_sample);
  return o.read("out");
}

BOOST_AUTO_TEST_CASE(dropout_agrees_with_the_reference) {
  for (const auto& [n, c] : std::vector<std::array<std::int64_t, 2>>{{1, 1}, {3, 17}, {20, 64}, {5, 3072}, {2, 9001}}) {
    for (const double p : {0.0, 0.1, 0.5, 0.999}) {
      check_parity(
          "dropout", 1e-7,
          [&, n = n, c = c](Ops& ops, Operands& o) {
            o.state.step = 5;
            ops.dropout(o.output("out", {n, c}), o.input("x", {n, c}), p, key, &o.state, 40);
          },
          BFloat16Tolerance{});
      check_parity("dropout in place", 1e-7, [&, n = n, c = c](Ops& ops, Operands& o) {
        const Tensor x = o.changed("x", {n, c});
        ops.dropout(x, x, p, key, &o.state, 40);
      });
    }
  }
}

BOOST_AUTO_TEST_CASE(a_kept_number_is_scaled_and_the_share_of_zeros_is_p) {
  for_each_implementation([](Ops& ops, Operands&) {
    constexpr std::int64_t rows = 40, columns = 1000;
    for (const double p : {0.1, 0.5}) {
      std::int64_t zeros = 0, wrong = 0;
      for (const double x : dropped(ops, rows, columns, p)) {
        zeros += x == 0 ? 1 : 0;
        wrong += x == 0 || std::abs(x - 1 / (1 - p)) < 1e-6 ? 0 : 1;
      }
      BOOST_TEST(wrong == 0);
      BOOST_TEST(std::abs(static_cast<double>(zeros) - p * rows * columns) <
                 4 * std::sqrt(p * (1 - p) * rows * columns));
    }
  });
}

BOOST_AUTO_TEST_CASE(an_element_is_dropped_by_its_own_word) {
  for_each_implementation([](Ops& ops, Operands&) {
    const std::vector<double> out = dropped(ops, 3, 70, 0.3, key, 9, 5);
    std::int64_t wrong = 0;
    for (std::uint32_t n = 0; n < 3; ++n) {
      for (std::uint32_t e = 0; e < 70; ++e) {
        const bool zero = uniform_open(random_words(key, 9, 5 + n, e / 4)[e % 4]) < 0.3;
        wrong += (out[n * 70 + e] == 0) == zero ? 0 : 1;
      }
    }
    BOOST_TEST(wrong == 0);
  });
}

BOOST_AUTO_TEST_CASE(masks_depend_on_their_coordinates_alone) {
  for_each_implementation([](Ops& ops, Operands&) {
    const std::vector<double> all = dropped(ops, 4, 100, 0.5, key, 7, 10);
    BOOST_TEST(dropped(ops, 2, 100, 0.5, key, 7, 12) == std::vector<double>(all.begin() + 200, all.end()));
    BOOST_TEST(dropped(ops, 4, 100, 0.5, key, 8, 10) != all);
    BOOST_TEST(dropped(ops, 4, 100, 0.5, {key.seed + 1, key.purpose, key.block}, 7, 10) != all);
    BOOST_TEST(dropped(ops, 4, 100, 0.5, {key.seed, key.purpose, key.block + 1}, 7, 10) != all);
  });
}

BOOST_AUTO_TEST_CASE(the_gradient_goes_where_the_numbers_went) {
  GradientCase c;
  c.what = "dropout";
  c.forward = [](Ops& ops, Operands& o) {
    ops.dropout(o.output("out", {3, 7}), o.input("x", {3, 7}), 0.4, key, &o.state, 2);
  };
  c.backward = [](Ops& ops, Operands& o) {
    ops.dropout(o.output("dx", {3, 7}), o.input("dout", {3, 7}), 0.4, key, &o.state, 2);
  };
  c.output = "out";
  c.cotangent = "dout";
  c.gradients = {{"x", "dx"}};
  check_gradient(c);
}

}  // namespace
