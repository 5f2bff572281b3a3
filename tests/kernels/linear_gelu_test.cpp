// The two halves of an MLP with its GELU inside.
#include <boost/test/unit_test.hpp>
#include <limits>

#include "tests/kernels/op_case.hpp"

using namespace blocktrain::kernels;
using namespace blocktrain::kernels::testing;

namespace {

// gelu(pre) is rounded, and the product in front of the gradient where it does not end in it.
constexpr BFloat16Tolerance in_bfloat16{.stored = 8e-3, .precise = 4e-3};
constexpr double tolerance = 3e-6;  // float32, relative to the largest entry

struct Shape {
  std::int64_t rows, columns, depth;
};
// Single rows, odd sizes, several tiles, a depth in several pieces, and small outputs of long reductions.
const std::vector<Shape> shapes{{1, 1, 1},    {3, 5, 7},     {17, 60, 20}, {97, 33, 385},
                                {300, 64, 9}, {70, 256, 64}, {9, 11, 2051}};

std::string name(const char* op, const Shape& s) {
  return op + std::string(" ") + std::to_string(s.rows) + "x" + std::to_string(s.columns) + "x" +
         std::to_string(s.depth);
}

/// Of y = gelu(pre) weight^T + bias, which is computed again or has been kept. What is left of pre is nobody's
/// business.
void backward(Ops& ops, Operands& o, const Tensor& pre, bool kept, const Fill& start,
              GradientWrite write = GradientWrite::add) {
  const std::int64_t rows = pre.dim(0), inputs = pre.dim(1), outputs = 6;
  const Tensor work = o.output("work", {rows, inputs}), dpre = o.output("dpre", {rows, inputs});
  ops.copy(work, pre);
  if (kept) ops.gelu_forward(dpre, pre);
  ops.gelu_linear_backward(dpre, o.precise_changed("dpre_sums", {inputs}, start),
                           o.precise_changed("dweight", {outputs, inputs}, start),
                           o.precise_changed("dbias", {outputs}, start), o.input("dy", {rows, outputs}), work,
                           o.input("weight", {outputs, inputs}), kept, write);
  ops.fill(work, 0);
}

BOOST_AUTO_TEST_CASE(linear_gelu_forward_agrees_with_the_reference) {
  for (const Shape& s : shapes) {
    for (const bool in_place : {false, true}) {
      check_parity(
          name("linear_gelu_forward", s), tolerance,
          [&](Ops& ops, Operands& o) {
            const Tensor pre = o.output("pre", {s.rows, s.columns});
            ops.linear_gelu_forward(in_place ? pre : o.output("out", {s.rows, s.columns}), pre,
                                    o.input("x", {s.rows, s.depth}), o.input("weight", {s.columns, s.depth}),
                                    o.input("bias", {s.columns}));
          },
          in_bfloat16);
    }
  }
}

BOOST_AUTO_TEST_CASE(gelu_linear_backward_agrees_with_the_reference) {
  for (const Shape& s : shapes) {
    for (const bool kept : {false, true}) {
      check_parity(
          name(kept ? "gelu_linear_backward of what was kept" : "gelu_linear_backward", s), tolerance,
          [&](Ops& ops, Operands& o) {
            // Not a number is what must not be read.
            const auto write = kept ? GradientWrite::replace : GradientWrite::add;
            const Fill start = kept ? constant(std::numeric_limits<double>::quiet_NaN()) : normal();
            backward(ops, o, o.input("pre", {s.rows, s.depth}, normal(2)), kept, start, write);
          },
          in_bfloat16);
    }
  }
}

BOOST_AUTO_TEST_CASE(what_was_kept_is_what_counts) {
  for_each_implementation([](Ops& ops, Operands& o) {
    // 5 in place of gelu(1): only dweight = 3 * 5 is made of it; dpre = 3 * 2 * gelu'(1).
    const Tensor pre = o.changed("pre", {1, 1}, constant(1));
    ops.gelu_linear_backward(o.changed("dpre", {1, 1}, constant(5)), o.precise_changed("dpre_sums", {1}, constant(0)),
                             o.precise_changed("dweight", {1, 1}, constant(0)),
                             o.precise_changed("dbias", {1}, constant(0)), o.input("dy", {1, 1}, constant(3)), pre,
                             o.input("weight", {1, 1}, constant(2)), true, GradientWrite::add);
    check_values(ops, o, "dweight", {15});
    check_values(ops, o, "dpre", {6.497783832}, 4e-6);
    check_values(ops, o, "dpre_sums", {6.497783832}, 4e-6);
    ops.fill(pre, 0);
  });
}

BOOST_AUTO_TEST_CASE(gradients_match_finite_differences) {
  GradientCase c;
  c.what = "linear of a GELU";
  c.forward = [](Ops& ops, Operands& o) {
    const Tensor active = o.output("active", {7, 5});
    ops.gelu_forward(active, o.input("pre", {7, 5}));
    ops.linear_forward(o.output("y", {7, 6}), active, o.input("weight", {6, 5}), o.input("bias", {6}));
  };
  c.backward = [](Ops& ops, Operands& o) { backward(ops, o, o.input("pre", {7, 5}), false, constant(0)); };
  c.output = "y";
  c.cotangent = "dy";
  c.gradients = {{"pre", "dpre"}, {"weight", "dweight"}, {"bias", "dbias"}};
  check_gradient(c);
}

BOOST_AUTO_TEST_CASE(by_hand) {
  for_each_implementation([](Ops& ops, Operands& o) {
    // pre = 2 * 0.75 - 0.5 = 1; gelu(1) = 0.841191990, gelu'(1) = 1.082963972
    const Tensor one = o.output("pre", {1, 1});
    ops.linear_gelu_forward(o.output("out", {1, 1}), one, o.input("x", {1, 1}, constant(0.75)),
                            o.input("weight", {1, 1}, constant(2)), o.input("bias", {1}, constant(-0.5)));
    check_values(ops, o, "pre", {1});
    check_values(ops, o, "out", {0.841191990});
    // dy = 3 through weight 2: dpre = 3 * 2 * gelu'(1), dweight = 1 + 3 * gelu(1), dbias = 1 + 3
    ops.gelu_linear_backward(o.output("dpre", {1, 1}), o.precise_changed("dpre_sums", {1}, constant(2)),
                             o.precise_changed("dweight", {1, 1}, constant(1)),
                             o.precise_changed("dbias", {1}, constant(1)), o.input("dy", {1, 1}, constant(3)), one,
                             o.input("weight", {1, 1}, constant(2)), false, GradientWrite::add);
    check_values(ops, o, "dpre", {6.497783832}, 4e-6);
    check_values(ops, o, "dpre_sums", {8.497783832}, 4e-6);
    check_values(ops, o, "dweight", {3.523575970}, 3e-6);
    check_values(ops, o, "dbias", {4});
  });
}

}  // namespace
