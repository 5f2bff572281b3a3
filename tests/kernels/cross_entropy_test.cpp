#include <boost/test/unit_test.hpp>
#include <cmath>

#include "tests/kernels/cuda_case.hpp"
#include "tests/kernels/op_case.hpp"

using namespace blocktrain::kernels;
using namespace blocktrain::kernels::testing;

namespace {
constexpr double tolerance = 5e-7;  // float32, relative to the largest value of each result
const std::vector<std::array<std::int64_t, 2>> shapes{{1, 1}, {1, 10}, {3, 17}, {129, 10}, {5, 20011}};

BOOST_AUTO_TEST_CASE(cross_entropy_agrees_with_the_reference) {
  for (const auto& [n, v] : shapes) {
    for (const double scale : {1.0, 50.0}) {
      const auto call = [&, n = n, v = v](Ops& ops, Operands& o, const Tensor& dlogits, const Tensor& logits) {
        ops.cross_entropy(o.output("loss", {n}), dlogits, logits, o.labels("label", n, static_cast<std::int32_t>(v)),
                          0.3);
      };
      check_parity("cross_entropy", tolerance, [&, n = n, v = v](Ops& ops, Operands& o) {
        call(ops, o, o.output("dlogits", {n, v}), o.input("logits", {n, v}, normal(scale)));
      });
      check_parity("cross_entropy in place", tolerance, [&, n = n, v = v](Ops& ops, Operands& o) {
        const Tensor logits = o.changed("logits", {n, v}, normal(scale));
        call(ops, o, logits, logits);
      });
      check_parity("cross_entropy without gradient", tolerance, [&, n = n, v = v](Ops& ops, Operands& o) {
        call(ops, o, Tensor(), o.input("logits", {n, v}, normal(scale)));
      });
    }
  }
}

BOOST_AUTO_TEST_CASE(gradients_match_finite_differences) {
  GradientCase c;
  c.what = "cross_entropy";
  const auto run = [](Ops& ops, Operands& o, const Tensor& dlogits) {
    ops.cross_entropy(o.output("loss", {3}), dlogits, o.input("logits", {3, 5}), o.labels("label", {4, 0, 2}), 0.3);
  };
  c.forward = [&](Ops& ops, Operands& o) { run(ops, o, Tensor()); };
  c.backward = [&](Ops& ops, Operands& o) {
    o.input("dloss", {3}, constant(0.3));
    run(ops, o, o.output("dlogits", {3, 5}));
  };
  c.output = "loss";
  c.cotangent = "dloss";
  c.gradients = {{"logits", "dlogits"}};
  // The cotangent is 0.3 rounded to float32, the op's scale is not: 4e-8 of the gradient.
  check_gradient(c);
}

BOOST_AUTO_TEST_CASE(by_hand) {
  for_each_implementation([](Ops& ops, Operands& o) {
    // Probabilities 1/4, 3/4; and logits far apart, where exp() of either alone would overflow.
    const Tensor logits = o.input("logits", {2, 2}, list({0, std::log(3.0), 1000, -1000}));
    ops.cross_entropy(o.output("loss", {2}), o.output("dlogits", {2, 2}), logits, o.labels("label", {0, 1}), 2);
    check_values(ops, o, "loss", {std::log(4.0), 2000});
    check_values(ops, o, "dlogits", {-1.5, 1.5, 2, -2});
  });
}

BOOST_AUTO_TEST_CASE(listed_rows_alone_are_computed_and_ignored_labels_are_zero) {
  check_parity("cross_entropy, listed rows", tolerance, [](Ops& ops, Operands& o) {
    ops.cross_entropy(o.precise_changed("loss", {5}), o.precise_changed("dlogits", {5, 17}),
                      o.precise_input("logits", {5, 17}), o.labels("label", {3, 16, -1, 0, 2}), 0.3,
                      o.labels("rows", {4, 2, 1}));
  });
  for_each_implementation([](Ops& ops, Operands& o) {
    const Tensor logits = o.input("logits", {3, 2}, list({0, 0, 5, 5, 0, 0}));
    ops.cross_entropy(o.changed("loss", {3}, constant(9)), o.changed("dlogits", {3, 2}, constant(9)), logits,
                      o.labels("label", {0, 1, 7}), 2, o.labels("rows", {2, 0}), 7);
    check_values(ops, o, "loss", {std::log(2.0), 9, 0});
    check_values(ops, o, "dlogits", {-1, 1, 9, 9, 0, 0});
  });
}

BOOST_AUTO_TEST_CASE(weights_scale_the_gradient_of_their_row_alone) {
  check_parity("cross_entropy, weights", tolerance, [](Ops& ops, Operands& o) {
    ops.cross_entropy(o.precise_output("loss", {5}), o.precise_output("dlogits", {5, 17}),
                      o.precise_input("logits", {5, 17}), o.labels("label", {3, 16, -1, 0, 2}), 0.3, {}, ignored_index,
                      o.precise_input("weights", {5}));
  });
  for_each_implementation([](Ops& ops, Operands& o) {
    ops.cross_entropy(o.output("loss", {2}), o.output("dlogits", {2, 2}), o.input("logits", {2, 2}, constant(0)),
                      o.labels("label", {0, 1}), 2, {}, ignored_index, o.input("weights", {2}, list({3, 0.5})));
    check_values(ops, o, "loss", {std::log(2.0), std::log(2.0)});
    check_values(ops, o, "dlogits", {-3, 3, 0.5, -0.5});
  });
}

BOOST_AUTO_TEST_CASE(a_label_outside_the_classes_is_refused_or_shows) {
  for_each_implementation([](Ops& ops, Operands& o) {
    if (ops.name() == std::string("cuda")) return;  // its labels are not looked at before
    for (const std::int32_t bad : {-2, 2}) {
      BOOST_CHECK_THROW(ops.cross_entropy(o.changed("loss", {1}), Tensor(), o.input("logits", {1, 2}),
                                          o.labels("label " + std::to_string(bad), {bad}), 1),
                        std::logic_error);
    }
  });
  // A GPU does not look before: loss and gradient are no numbers, so the step is not finite.
  if (const auto ops = cuda_ops(DType::float32)) {
    Operands o(*ops);
    ops->cross_entropy(o.output("loss", {2}), o.output("dlogits", {2, 2}), o.input("logits", {2, 2}, constant(0)),
                       o.labels("label", {2, 1}), 1);
    BOOST_TEST(std::isnan(o.read("loss")[0]));
    BOOST_TEST(std::isnan(o.read("dlogits")[0]));
    BOOST_TEST(std::abs(o.read("loss")[1] - std::log(2.0)) < 1e-6);
  }
}

}  // namespace
