#include <boost/test/unit_test.hpp>
#include <cmath>

#include "tests/kernels/op_case.hpp"

using namespace blocktrain::kernels;
using namespace blocktrain::kernels::testing;

namespace {

constexpr BFloat16Tolerance in_bfloat16;
// float32, relative to the largest value. In gelu' the difference 1 - tanh^2 loses digits where tanh nears 1.
constexpr double tolerance = 3e-7;
constexpr double gradient_tolerance = 1.5e-6;
const std::vector<std::int64_t> sizes{1, 17, 60, 16384, 50001};

using Forward = void (Ops::*)(const Tensor&, const Tensor&);
using Backward = void (Ops::*)(const Tensor&, const Tensor&, const Tensor&);
struct Activation {
  std::string name;
  Forward forward;
  Backward backward;
};
const std::vector<Activation> activations{{"gelu", &Ops::gelu_forward, &Ops::gelu_backward},
                                          {"silu", &Ops::silu_forward, &Ops::silu_backward}};

BOOST_AUTO_TEST_CASE(activations_agree_with_the_reference) {
  for (const Activation& f : activations) {
    for (const std::int64_t n : sizes) {
      for (const double scale : {0.01, 2.0, 40.0}) {
        check_parity(
            f.name, tolerance,
            [&](Ops& ops, Operands& o) { (ops.*f.forward)(o.output("out", {n}), o.input("x", {n}, normal(scale))); },
            in_bfloat16);
        check_parity(
            f.name + " in place", tolerance,
            [&](Ops& ops, Operands& o) {
              const Tensor x = o.changed("x", {n}, normal(scale));
              (ops.*f.forward)(x, x);
            },
            in_bfloat16);
        check_parity(
            f.name + " backward", gradient_tolerance,
            [&](Ops& ops, Operands& o) {
              (ops.*f.backward)(o.output("dx", {n}), o.input("dy", {n}), o.input("x", {n}, normal(scale)));
            },
            in_bfloat16);
        check_parity(
            f.name + " backward in place", gradient_tolerance,
            [&](Ops& ops, Operands& o) {
              const Tensor dy = o.changed("dy", {n});
              (ops.*f.backward)(dy, dy, o.input("x", {n}, normal(scale)));
            },
            in_bfloat16);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(gradients_match_finite_differences) {
  for (const Activation& f : activations) {
    GradientCase c;
    c.what = f.name;
    c.forward = [&](Ops& ops, Operands& o) { (ops.*f.forward)(o.output("out", {50}), o.input("x", {50}, normal(2))); };
    c.backward = [&](Ops& ops, Operands& o) {
      (ops.*f.backward)(o.output("dx", {50}), o.input("dout", {50}), o.input("x", {50}, normal(2)));
    };
    c.output = "out";
    c.cotangent = "dout";
    c.gradients = {{"x", "dx"}};
    check_gradient(c);
  }
}

BOOST_AUTO_TEST_CASE(by_hand) {
  for_each_implementation([](Ops& ops, Operands& o) {
    const Tensor x = o.input("x", {5}, list({0, 1, -1, 200, -200}));
    const Tensor ones = o.input("ones", {5}, constant(1));
    // tanh(sqrt(2/pi) 1.044715) = 0.682383866; sigmoid(1) = 0.731058579
    ops.gelu_forward(o.output("gelu", {5}), x);
    check_values(ops, o, "gelu", {0, 0.841191990, -0.158808010, 200, 0}, 2e-7);
    ops.silu_forward(o.output("silu", {5}), x);
    check_values(ops, o, "silu", {0, 0.731058579, -0.268941421, 200, 0}, 2e-7);
    ops.gelu_backward(o.output("dgelu", {5}), ones, x);
    check_values(ops, o, "dgelu", {0.5, 1.082963972, -0.082963972, 1, 0}, 5e-7);
    ops.silu_backward(o.output("dsilu", {5}), ones, x);
    check_values(ops, o, "dsilu", {0.5, 0.927670512, 0.072329488, 1, 0}, 5e-7);
  });
}

BOOST_AUTO_TEST_CASE(a_nan_is_passed_on) {
  for_each_implementation([](Ops& ops, Operands& o) {
    const Tensor x = o.input("x", {3}, list({1, std::nan(""), 2}));
    for (const Activation& f : activations) {
      (ops.*f.forward)(o.output(f.name, {3}), x);
      BOOST_TEST(std::isnan(o.read(f.name)[1]), ops.name() << " " << f.name << " hides a NaN");
      BOOST_TEST(!std::isnan(o.read(f.name)[2]));
    }
  });
}

}  // namespace
