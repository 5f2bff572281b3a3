#include <boost/test/unit_test.hpp>
#include <cmath>
#include <numbers>

#include "tests/kernels/op_case.hpp"

using namespace blocktrain::kernels;
using namespace blocktrain::kernels::testing;

namespace {

/// Samples, tokens, heads, and numbers of a head: by eights and not, and one pair alone.
struct Shape {
  std::int64_t samples, tokens, heads, width;
};
const std::vector<Shape> shapes{{1, 1, 1, 2}, {2, 5, 3, 6}, {3, 16, 4, 16}, {2, 7, 2, 64}, {4, 33, 6, 32}};

/// Cosines and sines of positions from 3 on, apart by another angle in each pair.
Tensor angles(Operands& o, std::int64_t tokens, std::int64_t width) {
  return o.precise_input("angles", {tokens, width}, [=](std::int64_t e, double) {
    const std::int64_t t = e / width, i = e % width, half = width / 2;
    const double angle = static_cast<double>(3 + t) * std::pow(100.0, -static_cast<double>(i % half) / 7);
    return i < half ? std::cos(angle) : std::sin(angle);
  });
}

BOOST_AUTO_TEST_CASE(rotary_agrees_with_the_reference) {
  for (const Shape& s : shapes) {
    const std::int64_t rows = s.samples * s.tokens, width = s.heads * s.width;
    for (const bool inverse : {false, true}) {
      check_parity(
          "rotary", 2e-7,
          [&](Ops& ops, Operands& o) {
            ops.rotary(o.output("out", {rows, width}), o.input("x", {rows, width}), angles(o, s.tokens, s.width),
                       inverse);
          },
          BFloat16Tolerance{});
      // As q and k lie beside v: in place, the columns behind them untouched.
      check_parity(
          "rotary of strided rows in place", 2e-7,
          [&](Ops& ops, Operands& o) {
            const Tensor x = o.changed("x", {rows, width}, normal(), width + width / 2 + 3);
            ops.rotary(x, x, angles(o, s.tokens, s.width), inverse);
          },
          BFloat16Tolerance{});
      check_parity(
          "rotary of samples that lie apart", 2e-7,
          [&](Ops& ops, Operands& o) {
            ops.rotary(o.output("out", {s.samples, s.tokens, width}, s.tokens * width + 8),
                       o.input("x", {s.samples, s.tokens, width}, normal(), s.tokens * width + 16),
                       angles(o, s.tokens, s.width), inverse);
          },
          BFloat16Tolerance{});
    }
  }
}

BOOST_AUTO_TEST_CASE(the_gradient_turns_back) {
  GradientCase c;
  c.what = "rotary";
  c.forward = [](Ops& ops, Operands& o) {
    ops.rotary(o.output("out", {6, 8}), o.input("x", {6, 8}), angles(o, 3, 4), false);
  };
  c.backward = [](Ops& ops, Operands& o) {
    ops.rotary(o.output("dx", {6, 8}), o.input("dout", {6, 8}), angles(o, 3, 4), true);
  };
  c.output = "out";
  c.cotangent = "dout";
  c.gradients = {{"x", "dx"}};
  check_gradient(c);
}

BOOST_AUTO_TEST_CASE(by_hand) {
  for_each_implementation([](Ops& ops, Operands& o) {
    // Two tokens, two heads of two pairs. Token 0 turns by nothing and a half turn, token 1 by a quarter and by 30
    // degrees: cosines first, then sines.
    const double half = std::numbers::sqrt3 / 2;
    const Tensor table = o.precise_input("angles", {2, 4}, list({1, -1, 0, 0, 0, half, 1, 0.5}));
    const Tensor x = o.input("x", {2, 8}, list({1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8}));
    ops.rotary(o.output("out", {2, 8}), x, table, false);
    check_values(ops, o, "out",
                 {1, -2, 3, -4, 5, -6, 7, -8,  //
                  -3, 2 * half - 2, 1, 4 * half + 1, -7, 6 * half - 4, 5, 8 * half + 3});
    ops.rotary(o.output("back", {2, 8}), o.input("out", {2, 8}), table, true);
    check_values(ops, o, "back", {1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8});
  });
}

}  // namespace
