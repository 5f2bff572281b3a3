#include <boost/test/unit_test.hpp>

#include "tests/kernels/op_case.hpp"
#ifdef TEST_EMULATED_GPU
#include "tests/emulated_gpu/emulated_gpu.hpp"
#endif

using namespace blocktrain::kernels;
using namespace blocktrain::kernels::testing;

namespace {

constexpr BFloat16Tolerance in_bfloat16;
// Where rows lie at odd places cuBLASLt rounds a product before it adds the bias, and the sum again.
constexpr BFloat16Tolerance rounded_twice{.stored = 8e-3};
constexpr double tolerance = 2e-6;  // float32, relative to the largest entry of the product

struct Shape {
  std::int64_t m, n, k;
};
// Odd sizes, single rows and columns, sizes just below and beyond the blocks that fast products are cut into, and long
// inner dimensions.
const std::vector<Shape> shapes{{1, 1, 1},     {1, 20, 17},   {17, 1, 20},   {3, 5, 7},     {17, 20, 3},
                                {64, 64, 64},  {51, 60, 20},  {13, 31, 383}, {97, 33, 385}, {300, 7, 65},
                                {70, 257, 13}, {9, 11, 2051}, {3, 37, 4099}};

std::string name(const std::string& op, const Shape& s) {
  return op + " " + std::to_string(s.m) + "x" + std::to_string(s.n) + "x" + std::to_string(s.k);
}

void check_linear_backward(const Shape& s, std::int64_t gap, int variant) {
  check_parity(
      name("linear_backward", s) + " variant " + std::to_string(variant), tolerance,
      [&](Ops& ops, Operands& o) {
        const bool add = variant == 1;
        const GradientWrite write = variant == 4 || variant == 5 ? GradientWrite::replace : GradientWrite::add;
        Tensor dx;
        if (variant == 0) dx = o.output("dx", {s.m, s.k}, s.k + gap);
        if (add) dx = o.changed("dx", {s.m, s.k}, normal(), s.k + gap);
        const bool keeps = write == GradientWrite::add;
        const Tensor dbias = variant == 2 || variant == 5 ? Tensor()
                             : keeps                      ? o.precise_changed("dbias", {s.n})
                                                          : o.precise_output("dbias", {s.n});
        ops.linear_backward(dx,
                            keeps ? o.precise_changed("dweight", {s.n, s.k}) : o.precise_output("dweight", {s.n, s.k}),
                            dbias, o.input("dy", {s.m, s.n}, normal(), s.n + gap),
                            o.input("x", {s.m, s.k}, normal(), s.k + gap), o.input("weight", {s.n, s.k}), add, write);
      },
      in_bfloat16);
}

BOOST_AUTO_TEST_CASE(matmul_agrees_with_the_reference) {
  for (const Shape& s : shapes) {
    for (const bool ta : {false, true}) {
      for (const bool tb : {false, true}) {
        for (const std::int64_t gap : {0, 3}) {
          const auto factors = [&](Operands& o) {
            const std::int64_t ac = ta ? s.m : s.k, bc = tb ? s.k : s.n;
            return std::pair(
                ta ? o.input("a", {s.k, s.m}, normal(), ac + gap) : o.input("a", {s.m, s.k}, normal(), ac + gap),
                tb ? o.input("b", {s.n, s.k}, normal(), bc + gap) : o.input("b", {s.k, s.n}, normal(), bc + gap));
          };
          check_parity(
              name("matmul", s), tolerance,
              [&](Ops& ops, Operands& o) {
                const auto [a, b] = factors(o);
                ops.matmul(o.output("c", {s.m, s.n}, s.n + gap), a, ta, b, tb, false);
              },
              in_bfloat16);
          check_parity(
              name("matmul into", s), tolerance,
              [&](Ops& ops, Operands& o) {
                const auto [a, b] = factors(o);
                ops.matmul(o.changed("c", {s.m, s.n}, normal(), s.n + gap), a, ta, b, tb, true);
              },
              in_bfloat16);
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(linear_forward_agrees_with_the_reference) {
  for (const Shape& s : shapes) {
    for (const std::int64_t gap : {0, 3}) {
      for (const bool with_bias : {false, true}) {
        check_parity(
            name("linear_forward", s), tolerance,
            [&](Ops& ops, Operands& o) {
              ops.linear_forward(o.output("out", {s.m, s.n}, s.n + gap), o.input("x", {s.m, s.k}, normal(), s.k + gap),
                                 o.input("weight", {s.n, s.k}), with_bias ? o.input("bias", {s.n}) : Tensor());
            },
            with_bias ? rounded_twice : in_bfloat16);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(linear_backward_agrees_with_the_reference) {
  for (const Shape& s : shapes) {
    for (const std::int64_t gap : {0, 3}) {
      for (const int variant : {0, 1, 2, 3, 4, 5}) check_linear_backward(s, gap, variant);
    }
  }
}

#ifdef TEST_EMULATED_GPU
BOOST_AUTO_TEST_CASE(linear_backward_does_without_sums_beside_the_product) {
  emulated_gpu::settings().sum_ends = false;
  for (const Shape& s : shapes) {
    for (const int variant : {3, 4}) check_linear_backward(s, 0, variant);
  }
  check_linear_backward({140001, 8, 1}, 0, 3);  // several rows for each warp that adds them up
  emulated_gpu::settings().sum_ends = true;
}
#endif

BOOST_AUTO_TEST_CASE(gradients_match_finite_differences) {
  GradientCase c;
  c.what = "linear";
  c.forward = [](Ops& ops, Operands& o) {
    ops.linear_forward(o.output("out", {3, 5}, 6), o.input("x", {3, 4}, normal(), 7), o.input("weight", {5, 4}),
                       o.input("bias", {5}));
  };
  c.backward = [](Ops& ops, Operands& o) {
    ops.linear_backward(o.output("dx", {3, 4}), o.precise_changed("dweight", {5, 4}, constant(0)),
                        o.precise_changed("dbias", {5}, constant(0)), o.input("dout", {3, 5}),
                        o.input("x", {3, 4}, normal(), 7), o.input("weight", {5, 4}), false, GradientWrite::add);
  };
  c.output = "out";
  c.cotangent = "dout";
  c.gradients = {{"x", "dx"}, {"weight", "dweight"}, {"bias", "dbias"}};
  check_gradient(c);
}

BOOST_AUTO_TEST_CASE(large_products_of_small_integers_are_exact) {
  // Entries repeat with periods 3 and 5, so an entry of the product depends on its place modulo 3 and 5 alone, and
  // every sum stays below 2^24: any order of additions gives the same float32.
  const auto left = [](std::int64_t i, std::int64_t k) { return static_cast<double>((2 * i + k) % 3 - 1); };
  const auto right = [](std::int64_t k, std::int64_t j) { return static_cast<double>((k * 2 + j) % 5 - 1); };
  struct Case {
    Shape shape;
    bool transpose_a, transpose_b;
  };
  std::vector<Case> cases{{{4, 2000, 33000}, true, false}};  // the gradient of a weight over very many rows
  for (const Shape& s : {Shape{700, 384, 96}, Shape{300, 250, 4100}, Shape{1000, 2, 1500}}) {
    for (const bool ta : {false, true}) {
      for (const bool tb : {false, true}) cases.push_back({s, ta, tb});
    }
  }
  const auto ops = make_cpu_ops(3);
  for (const auto& [s, ta, tb] : cases) {
    double expected[3][5] = {};
    for (std::int64_t i = 0; i < 3; ++i) {
      for (std::int64_t j = 0; j < 5; ++j) {
        for (std::int64_t k = 0; k < s.k; ++k) expected[i][j] += left(i, k) * right(k, j);
      }
    }
    std::vector<float> a(static_cast<std::size_t>(s.m * s.k)), b(static_cast<std::size_t>(s.k * s.n)),
        c(static_cast<std::size_t>(s.m * s.n));
    for (std::int64_t i = 0; i < s.m; ++i) {
      for (std::int64_t k = 0; k < s.k; ++k) a[ta ? k * s.m + i : i * s.k + k] = static_cast<float>(left(i, k));
    }
    for (std::int64_t k = 0; k < s.k; ++k) {
      for (std::int64_t j = 0; j < s.n; ++j) b[tb ? j * s.k + k : k * s.n + j] = static_cast<float>(right(k, j));
    }
    const Tensor at = ta ? Tensor(a.data(), DType::float32, {s.k, s.m}) : Tensor(a.data(), DType::float32, {s.m, s.k});
    const Tensor bt = tb ? Tensor(b.data(), DType::float32, {s.n, s.k}) : Tensor(b.data(), DType::float32, {s.k, s.n});
    ops->matmul(Tensor(c.data(), DType::float32, {s.m, s.n}), at, ta, bt, tb, false);
    std::int64_t wrong = 0;
    for (std::int64_t e = 0; e < s.m * s.n; ++e) {
      wrong += static_cast<double>(c[e]) == expected[e / s.n % 3][e % s.n % 5] ? 0 : 1;
    }
    BOOST_TEST(wrong == 0, name("matmul", s) << ", transposed " << ta << tb << ": " << wrong << " wrong entries");
  }
}

BOOST_AUTO_TEST_CASE(by_hand) {
  for_each_implementation([](Ops& ops, Operands& o) {
    const Tensor a = o.input("a", {2, 3}, list({1, 2, 3, 4, 5, 6}));
    const Tensor b = o.input("b", {3, 2}, list({7, 8, 9, 10, 11, 12}));
    ops.matmul(o.output("ab", {2, 2}), a, false, b, false, false);
    check_values(ops, o, "ab", {58, 64, 139, 154}, 0);
    ops.matmul(o.output("at_bt", {3, 3}), a, true, b, true, false);
    check_values(ops, o, "at_bt", {39, 49, 59, 54, 68, 82, 69, 87, 105}, 0);
    ops.matmul(o.changed("into", {2, 2}, constant(1)), a, false, a, true, true);
    check_values(ops, o, "into", {15, 33, 33, 78}, 0);

    const Tensor weight = o.input("weight", {1, 3}, list({1, 0, -1}));
    ops.linear_forward(o.output("out", {2, 1}), a, weight, o.input("bias", {1}, list({10})));
    check_values(ops, o, "out", {8, 8}, 0);
    ops.linear_backward(o.changed("dx", {2, 3}, constant(100)), o.precise_changed("dweight", {1, 3}, constant(1)),
                        o.precise_changed("dbias", {1}, constant(5)), o.input("dy", {2, 1}, list({1, 2})), a, weight,
                        true, GradientWrite::add);
    check_values(ops, o, "dx", {101, 100, 99, 102, 100, 98}, 0);
    check_values(ops, o, "dweight", {10, 13, 16}, 0);
    check_values(ops, o, "dbias", {8}, 0);
  });
}

BOOST_AUTO_TEST_CASE(columns_of_a_wider_matrix_work_as_operands) {
  for_each_implementation([](Ops& ops, Operands& o) {
    const Tensor wide = o.input("wide", {2, 4}, list({1, 2, 3, 4, 5, 6, 7, 8}));
    const Tensor out = o.changed("out", {2, 4}, constant(-1));
    ops.matmul(out.columns(1, 3), wide.columns(0, 2), false, wide.columns(2, 4), true, false);
    check_values(ops, o, "out", {-1, 11, 23, -1, -1, 39, 83, -1}, 0);
  });
}

BOOST_AUTO_TEST_CASE(shapes_that_do_not_fit_are_refused) {
  for_each_implementation([](Ops& ops, Operands& o) {
    BOOST_CHECK_THROW(
        ops.matmul(o.changed("c", {2, 2}), o.input("a", {2, 3}), false, o.input("b", {2, 2}), false, false),
        std::logic_error);
    BOOST_CHECK_THROW(
        ops.linear_forward(o.changed("out", {2, 4}), o.input("x", {2, 3}), o.input("w", {4, 2}), Tensor()),
        std::logic_error);
  });
}

}  // namespace
