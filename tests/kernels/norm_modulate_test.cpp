#include <boost/test/unit_test.hpp>
#include <cmath>

#include "tests/kernels/op_case.hpp"

using namespace blocktrain::kernels;
using namespace blocktrain::kernels::testing;

namespace {

constexpr BFloat16Tolerance in_bfloat16;
constexpr double tolerance = 1.5e-6;  // float32, relative to the largest value of each result
constexpr double epsilon = 1e-6;

struct Shape {
  std::int64_t n, t, c;
};
const std::vector<Shape> shapes{{1, 1, 1},   {1, 1, 20},    {3, 17, 20},   {2, 5, 384},  {7, 64, 65},  {33, 16, 64},
                                {1, 9, 768}, {2, 11, 1024}, {1, 13, 1152}, {1, 5, 1536}, {2, 3, 1800}, {1, 6, 2048}};

std::string name(const std::string& op, const Shape& s) {
  return op + " N=" + std::to_string(s.n) + " T=" + std::to_string(s.t) + " C=" + std::to_string(s.c);
}

/// shift and scale as a block passes them: column ranges of one matrix, so rows are 6 C apart.
void forward(Ops& ops, Operands& o, const Shape& s, const Fill& x) {
  ops.norm_modulate_forward(o.output("out", {s.n, s.t, s.c}), o.precise_output("mean", {s.n, s.t}),
                            o.precise_output("rstd", {s.n, s.t}), o.input("x", {s.n, s.t, s.c}, x),
                            o.input("shift", {s.n, s.c}, normal(), 6 * s.c),
                            o.input("scale", {s.n, s.c}, normal(), 6 * s.c), epsilon);
}

/// Uses the mean and rstd that forward() left.
void backward(Ops& ops, Operands& o, const Shape& s, const Tensor& dx) {
  const Tensor mean = o.precise_input("mean", {s.n, s.t}), rstd = o.precise_input("rstd", {s.n, s.t});
  ops.norm_modulate_backward(dx, o.output("dshift", {s.n, s.c}, 6 * s.c), o.output("dscale", {s.n, s.c}, 6 * s.c),
                             o.input("dout", {s.n, s.t, s.c}), o.input("x", {s.n, s.t, s.c}), mean, rstd,
                             o.input("scale", {s.n, s.c}, normal(), 6 * s.c));
}

void check_backward(const Shape& s) {
  check_parity(
      name("norm_modulate_backward", s), tolerance,
      [&](Ops& ops, Operands& o) {
        forward(ops, o, s, normal(3, 1));
        backward(ops, o, s, o.changed("dx", {s.n, s.t, s.c}));
      },
      in_bfloat16);
}

BOOST_AUTO_TEST_CASE(norm_modulate_forward_agrees_with_the_reference) {
  for (const Shape& s : shapes) {
    check_parity(
        name("norm_modulate_forward", s), tolerance, [&](Ops& ops, Operands& o) { forward(ops, o, s, normal(3, 1)); },
        in_bfloat16);
  }
}

BOOST_AUTO_TEST_CASE(a_large_mean_does_not_spoil_the_variance) {
  // The deviation is 1/1000 of the mean. A mean added up in float32 is off by 1e-4 of the deviation; a variance taken
  // as E[x^2] - mean^2 by 6e-2.
  check_parity(
      "norm_modulate_forward, mean 1000", 2e-4,
      [&](Ops& ops, Operands& o) {
        forward(ops, o, {3, 17, 64}, normal(1, 1000));
      },
      in_bfloat16);
}

BOOST_AUTO_TEST_CASE(norm_modulate_backward_agrees_with_the_reference) {
  for (const Shape& s : shapes) {
    if (s.c == 1) continue;  // one channel: x - mean is 0, and so are all gradients but dshift
    check_backward(s);
  }
}

BOOST_AUTO_TEST_CASE(gated_residual_agrees_with_the_reference) {
  for (const Shape& s : shapes) {
    check_parity(
        name("gated_residual_forward", s), 2e-7,
        [&](Ops& ops, Operands& o) {
          ops.gated_residual_forward(o.output("out", {s.n, s.t, s.c}), o.input("x", {s.n, s.t, s.c}),
                                     o.input("h", {s.n, s.t, s.c}), o.input("gate", {s.n, s.c}, normal(), 6 * s.c));
        },
        in_bfloat16);
    check_parity(
        name("gated_residual_forward in place", s), 2e-7,
        [&](Ops& ops, Operands& o) {
          const Tensor x = o.changed("x", {s.n, s.t, s.c});
          ops.gated_residual_forward(x, x, o.input("h", {s.n, s.t, s.c}),
                                     o.input("gate", {s.n, s.c}, normal(), 6 * s.c));
        },
        in_bfloat16);
    check_parity(
        name("gated_residual_backward", s), 6e-7,
        [&](Ops& ops, Operands& o) {
          ops.gated_residual_backward(o.output("dh", {s.n, s.t, s.c}), o.output("dgate", {s.n, s.c}, 6 * s.c),
                                      o.input("dout", {s.n, s.t, s.c}), o.input("h", {s.n, s.t, s.c}),
                                      o.input("gate", {s.n, s.c}, normal(), 6 * s.c));
        },
        in_bfloat16);
    check_parity(
        name("gated_residual_backward in place", s), 6e-7,
        [&](Ops& ops, Operands& o) {
          const Tensor h = o.changed("h", {s.n, s.t, s.c});
          ops.gated_residual_backward(h, o.output("dgate", {s.n, s.c}, 6 * s.c), o.input("dout", {s.n, s.t, s.c}), h,
                                      o.input("gate", {s.n, s.c}, normal(), 6 * s.c));
        },
        in_bfloat16);
  }
}

BOOST_AUTO_TEST_CASE(sums_over_many_rows_agree_with_the_reference) {
  // Many samples, so that a sample's rows are few pieces of many rows; and one sample of many pieces.
  for (const Shape& s : {Shape{4100, 33, 8}, Shape{1, 300, 8}}) {
    check_parity(
        name("gated_residual_backward", s), 6e-7,
        [&](Ops& ops, Operands& o) {
          ops.gated_residual_backward(o.output("dh", {s.n, s.t, s.c}), o.output("dgate", {s.n, s.c}),
                                      o.input("dout", {s.n, s.t, s.c}), o.input("h", {s.n, s.t, s.c}),
                                      o.input("gate", {s.n, s.c}));
        },
        in_bfloat16);
  }
  check_backward({1, 300, 64});
}

BOOST_AUTO_TEST_CASE(gradients_match_finite_differences) {
  const Shape s{2, 3, 5};
  GradientCase c;
  c.what = "norm_modulate";
  c.forward = [&](Ops& ops, Operands& o) { forward(ops, o, s, normal()); };
  c.backward = [&](Ops& ops, Operands& o) { backward(ops, o, s, o.changed("dx", {s.n, s.t, s.c}, constant(0))); };
  c.output = "out";
  c.cotangent = "dout";
  c.gradients = {{"x", "dx"}, {"shift", "dshift"}, {"scale", "dscale"}};
  check_gradient(c);

  c.what = "gated_residual";
  c.forward = [&](Ops& ops, Operands& o) {
    ops.gated_residual_forward(o.output("out", {2, 3, 5}), o.input("x", {2, 3, 5}), o.input("h", {2, 3, 5}),
                               o.input("gate", {2, 5}, normal(), 9));
  };
  c.backward = [&](Ops& ops, Operands& o) {
    ops.gated_residual_backward(o.output("dh", {2, 3, 5}), o.output("dgate", {2, 5}, 9), o.input("dout", {2, 3, 5}),
                                o.input("h", {2, 3, 5}), o.input("gate", {2, 5}, normal(), 9));
  };
  c.gradients = {{"x", "dout"}, {"h", "dh"}, {"gate", "dgate"}};
  check_gradient(c);
}

BOOST_AUTO_TEST_CASE(by_hand) {
  for_each_implementation([](Ops& ops, Operands& o) {
    // Mean 2, variance 1 (epsilon 0): normalised -1, 1.
    const Tensor x = o.input("x", {1, 1, 2}, list({1, 3}));
    const Tensor scale = o.input("scale", {1, 2}, list({1, 0.5}));
    const Tensor mean = o.precise_output("mean", {1, 1}), rstd = o.precise_output("rstd", {1, 1});
    ops.norm_modulate_forward(o.output("out", {1, 1, 2}), mean, rstd, x, o.input("shift", {1, 2}, list({10, 20})),
                              scale, 0.0);
    check_values(ops, o, "out", {8, 21.5});
    check_values(ops, o, "mean", {2});
    check_values(ops, o, "rstd", {1});
    // g = dout (1 + scale) = 4, 3: average 3.5, average of g h -0.5: dx = g - 3.5 - h (-0.5) = 0 for both.
    ops.norm_modulate_backward(o.changed("dx", {1, 1, 2}, constant(7)), o.output("dshift", {1, 2}),
                               o.output("dscale", {1, 2}), o.input("dout", {1, 1, 2}, list({2, 2})), x, mean, rstd,
                               scale);
    check_values(ops, o, "dx", {7, 7});
    check_values(ops, o, "dshift", {2, 2});
    check_values(ops, o, "dscale", {-2, 2});

    const Tensor gate = o.input("gate", {1, 2}, list({2, -1}));
    const Tensor h = o.input("h", {1, 2, 2}, list({1, 2, 3, 4}));
    ops.gated_residual_forward(o.output("sum", {1, 2, 2}), o.input("y", {1, 2, 2}, constant(10)), h, gate);
    check_values(ops, o, "sum", {12, 8, 16, 6}, 0);
    ops.gated_residual_backward(o.output("dh", {1, 2, 2}), o.output("dgate", {1, 2}),
                                o.input("dsum", {1, 2, 2}, list({1, 1, 2, 0.5})), h, gate);
    check_values(ops, o, "dh", {2, -1, 4, -0.5}, 0);
    check_values(ops, o, "dgate", {7, 4}, 0);
  });
}

}  // namespace
