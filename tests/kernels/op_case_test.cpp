// The harness itself: every kind of fault it is there to find is planted once.
#include "tests/kernels/op_case.hpp"

#include <boost/test/unit_test.hpp>
#include <functional>
#include <limits>

using namespace blocktrain::kernels;
using namespace blocktrain::kernels::testing;

namespace {

using Fault = std::function<void(Ops& ops, Operands& o, const Tensor& out, const Tensor& x)>;

/// out = 2x, with a fault planted in the float32 implementations, by ops, for the memory may be a GPU's.
Call twice(const Fault& fault) {
  return [fault](Ops& ops, Operands& o) {
    const Tensor x = o.input("x", {5, 3}, normal(), 4);
    const Tensor out = o.output("out", {5, 3}, 7);
    ops.fill(out, 0);
    ops.add(out, x);
    ops.add(out, x);
    if (ops.dtype() == DType::float32) fault(ops, o, out, x);
  };
}

/// Number `i` behind the first of `t`, by itself.
Tensor number(const Tensor& t, std::int64_t i) { return Tensor(t.as<float>() + i, t.dtype, {1}); }

BOOST_AUTO_TEST_CASE(a_right_op_passes) {
  const Parity p = parity(twice([](Ops&, Operands&, const Tensor&, const Tensor&) {}));
  BOOST_TEST(p.error == 0);
  BOOST_TEST(p.same_bits);
  BOOST_TEST(p.damage == "");
}

BOOST_AUTO_TEST_CASE(a_small_error_in_one_element_is_seen) {
  const Parity p = parity(twice([](Ops& ops, Operands& o, const Tensor& out, const Tensor&) {
    ops.add(number(out, 2), o.input("error", {1}, constant(1e-5)));
  }));
  BOOST_TEST(p.error > 2e-6);
  BOOST_TEST(p.where.starts_with("out"));
}

BOOST_AUTO_TEST_CASE(an_element_left_out_is_seen) {
  const Parity p = parity(twice([](Ops& ops, Operands&, const Tensor& out, const Tensor&) {
    ops.fill(number(out, 1), std::numeric_limits<double>::quiet_NaN());
  }));
  BOOST_TEST(p.error == std::numeric_limits<double>::infinity());
}

BOOST_AUTO_TEST_CASE(bits_that_differ_between_calls_are_seen) {
  double bit = 0;
  const Parity p = parity(twice([&](Ops& ops, Operands& o, const Tensor& out, const Tensor&) {
    ops.add(number(out, 0), o.input("error", {1}, constant(bit += 1e-7)));
  }));
  BOOST_TEST(!p.same_bits);
}

BOOST_AUTO_TEST_CASE(a_write_to_an_input_is_seen) {
  const Parity p = parity(twice([](Ops& ops, Operands& o, const Tensor&, const Tensor& x) {
    ops.add(number(x, 0), o.input("error", {1}, constant(1)));
  }));
  BOOST_TEST(p.damage.find("input x") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_write_between_rows_is_seen) {
  const Parity p =
      parity(twice([](Ops& ops, Operands&, const Tensor& out, const Tensor&) { ops.fill(number(out, 3), 0); }));
  BOOST_TEST(p.damage.find("gaps between rows of out") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_wrong_gradient_is_seen) {
  GradientCase c;
  c.what = "silu with a slightly wrong gradient";
  c.forward = [](Ops& ops, Operands& o) { ops.silu_forward(o.output("out", {9}), o.input("x", {9})); };
  c.backward = [](Ops& ops, Operands& o) {
    const Tensor dx = o.output("dx", {9});
    ops.silu_backward(dx, o.input("dout", {9}), o.input("x", {9}));
    dx.as<double>()[4] *= 1 + 1e-4;
  };
  c.output = "out";
  c.cotangent = "dout";
  c.gradients = {{"x", "dx"}};
  BOOST_TEST(gradient_error(c) > 1e-6);
}

}  // namespace
