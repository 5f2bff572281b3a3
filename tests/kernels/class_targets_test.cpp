// What turns classes into targets and back: unit rows, factors of the noise level, softmax.

#include <boost/test/unit_test.hpp>
#include <cmath>

#include "tests/kernels/op_case.hpp"

using namespace blocktrain::kernels;
using namespace blocktrain::kernels::testing;

namespace {

const BFloat16Tolerance in_bfloat16{};
const std::vector<std::array<std::int64_t, 2>> shapes{{1, 1}, {3, 17}, {10, 64}, {130, 20}, {2, 4099}};
const std::vector<LevelFactor> factors{LevelFactor::input, LevelFactor::skip, LevelFactor::output,
                                       LevelFactor::evidence};

BOOST_AUTO_TEST_CASE(unit_rows_agree_with_the_reference) {
  for (const auto& [r, c] : shapes) {
    check_parity(
        "normalise_rows", 3e-7,
        [&, r = r, c = c](Ops& ops, Operands& o) {
          ops.normalise_rows(o.precise_output("out", {r, c}), o.precise_output("norm", {r}),
                             o.precise_input("table", {r, c}, normal(0.02)));
        },
        in_bfloat16);
    check_parity(
        "normalise_rows_backward", 1e-6,
        [&, r = r, c = c](Ops& ops, Operands& o) {
          ops.normalise_rows(o.precise_output("out", {r, c}), o.precise_output("norm", {r}),
                             o.precise_input("table", {r, c}));
          ops.normalise_rows_backward(o.precise_changed("dtable", {r, c}), o.precise_input("dout", {r, c}),
                                      o.precise_input("out", {r, c}), o.precise_input("norm", {r}));
        },
        in_bfloat16);
  }
}

BOOST_AUTO_TEST_CASE(gradient_of_unit_rows_matches_finite_differences) {
  GradientCase c;
  c.what = "normalise_rows";
  c.forward = [](Ops& ops, Operands& o) {
    ops.normalise_rows(o.output("out", {3, 5}), o.output("norm", {3}), o.input("table", {3, 5}));
  };
  c.backward = [](Ops& ops, Operands& o) {
    ops.normalise_rows_backward(o.changed("dtable", {3, 5}, constant(0)), o.input("dout", {3, 5}),
                                o.input("out", {3, 5}), o.input("norm", {3}));
  };
  c.output = "out";
  c.cotangent = "dout";
  c.gradients = {{"table", "dtable"}};
  check_gradient(c);
}

BOOST_AUTO_TEST_CASE(scaling_by_the_level_agrees_with_the_reference) {
  for (const auto& [n, p] : shapes) {
    for (const LevelFactor factor : factors) {
      for (const bool accumulate : {false, true}) {
        const auto call = [&, n = n, p = p](Ops& ops, Operands& o, const Tensor& out, const Tensor& x) {
          ops.scale_by_level(out, x, o.precise_input("sigma", {n}, noise_levels()), factor, 0.3, accumulate);
        };
        check_parity(
            "scale_by_level", 3e-7,
            [&, n = n, p = p](Ops& ops, Operands& o) {
              call(ops, o, accumulate ? o.precise_changed("out", {n, p}) : o.precise_output("out", {n, p}),
                   o.precise_input("x", {n, p}));
            },
            in_bfloat16);
        check_parity(
            "scale_by_level to the ops' type", 3e-7,
            [&, n = n, p = p](Ops& ops, Operands& o) {
              call(ops, o, accumulate ? o.changed("out", {n, p}) : o.output("out", {n, p}),
                   o.precise_input("x", {n, p}));
            },
            in_bfloat16);
      }
      check_parity("scale_by_level in place", 3e-7, [&, n = n, p = p](Ops& ops, Operands& o) {
        const Tensor x = o.changed("x", {n, p});
        ops.scale_by_level(x, x, o.input("sigma", {n}, noise_levels()), factor, 0.3, false);
      });
    }
  }
}

BOOST_AUTO_TEST_CASE(softmax_agrees_with_the_reference) {
  for (const auto& [n, v] : shapes) {
    for (const double scale : {1.0, 50.0}) {
      check_parity(
          "softmax", 6e-7,
          [&, n = n, v = v](Ops& ops, Operands& o) {
            ops.softmax(o.precise_output("p", {n, v}), o.precise_input("logits", {n, v}, normal(scale)));
          },
          in_bfloat16);
      check_parity("softmax in place", 6e-7, [&, n = n, v = v](Ops& ops, Operands& o) {
        const Tensor logits = o.changed("logits", {n, v}, normal(scale));
        ops.softmax(logits, logits);
      });
    }
  }
}

BOOST_AUTO_TEST_CASE(by_hand) {
  for_each_implementation([](Ops& ops, Operands& o) {
    ops.normalise_rows(o.output("out", {3, 2}), o.output("norm", {3}),
                       o.input("table", {3, 2}, list({3, 4, 0, 0, -2, 0})));
    check_values(ops, o, "norm", {5, 0, 2});
    check_values(ops, o, "out", {0.6, 0.8, 0, 0, -1, 0});
    // Of the gradient what points along the row goes, the rest is divided by its length; a row of zeros has none.
    ops.normalise_rows_backward(o.changed("dtable", {3, 2}, constant(1)),
                                o.input("dout", {3, 2}, list({1, 0, 9, 9, 7, 3})), o.input("out", {3, 2}),
                                o.input("norm", {3}));
    check_values(ops, o, "dtable", {1 + 0.64 / 5, 1 - 0.48 / 5, 1, 1, 1, 2.5});

    // sigma = 4 and sigma_data = 3 make 5.
    const Tensor x = o.input("x", {1, 1}, list({10})), sigma = o.input("sigma", {1}, list({4}));
    const std::vector<double> expected{2, 3.6, 24, 0.625};
    for (std::size_t i = 0; i < factors.size(); ++i) {
      ops.scale_by_level(o.output("scaled", {1, 1}), x, sigma, factors[i], 3, false);
      check_values(ops, o, "scaled", {expected[i]});
      ops.scale_by_level(o.changed("sum", {1, 1}, constant(1)), x, sigma, factors[i], 3, true);
      check_values(ops, o, "sum", {1 + expected[i]}, 2e-6);
    }

    // A quarter and three quarters; and logits far apart, where exp() of either alone would overflow.
    ops.softmax(o.output("p", {2, 2}), o.input("logits", {2, 2}, list({0, std::log(3.0), 1000, -1000})));
    check_values(ops, o, "p", {0.25, 0.75, 1, 0});
  });
}

}  // namespace
