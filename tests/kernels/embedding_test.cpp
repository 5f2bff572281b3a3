#include <boost/test/unit_test.hpp>
#include <cmath>

#include "tests/kernels/op_case.hpp"

using namespace blocktrain::kernels;
using namespace blocktrain::kernels::testing;

constexpr BFloat16Tolerance in_bfloat16;

namespace {
struct Shape {
  std::int64_t rows, samples, width;
};
const std::vector<Shape> shapes{{1, 1, 1}, {3, 17, 20}, {11, 128, 384}, {500, 2000, 65}};

BOOST_AUTO_TEST_CASE(embedding_agrees_with_the_reference) {
  for (const Shape& s : shapes) {
    const auto bound = static_cast<std::int32_t>(s.rows);
    check_parity(
        "embedding_forward", 0,
        [&](Ops& ops, Operands& o) {
          ops.embedding_forward(o.output("out", {s.samples, s.width}), o.input("table", {s.rows, s.width}),
                                o.labels("index", s.samples, bound));
        },
        in_bfloat16);
    check_parity(
        "embedding_backward", 5e-7,
        [&](Ops& ops, Operands& o) {
          ops.embedding_backward(o.precise_changed("dtable", {s.rows, s.width}), o.input("dout", {s.samples, s.width}),
                                 o.labels("index", s.samples, bound));
        },
        in_bfloat16);
  }
}

BOOST_AUTO_TEST_CASE(rows_of_one_index_are_added_in_order) {
  // 1e8 swallows 1 in float32, so the sum tells the order: (0 + 1e8) + 1 - 1e8 = 0, in other orders 1.
  for_each_implementation([](Ops& ops, Operands& o) {
    if (ops.dtype() != DType::float32) return;
    ops.embedding_backward(o.precise_changed("dtable", {2, 1}, constant(0)),
                           o.input("dout", {3, 1}, list({1e8, 1, -1e8})), o.labels("index", {1, 1, 1}));
    check_values(ops, o, "dtable", {0, 0}, 0);
  });
}

BOOST_AUTO_TEST_CASE(add_rows_agrees_with_the_reference) {
  for (const auto& [n, t, c] : std::vector<std::array<std::int64_t, 3>>{{1, 1, 1}, {3, 17, 20}, {40, 16, 64}}) {
    check_parity(
        "add_rows", 6e-8,
        [&, n = n, t = t, c = c](Ops& ops, Operands& o) {
          ops.add_rows(o.changed("x", {n, t, c}), o.input("row", {t, c}));
        },
        in_bfloat16);
  }
}

BOOST_AUTO_TEST_CASE(noise_features_agree_with_the_reference) {
  constexpr double tolerance = 2e-7;  // float32, absolute: sines and cosines
  for (const auto& [n, f] : std::vector<std::array<std::int64_t, 2>>{{1, 2}, {3, 20}, {65, 256}, {7, 258}}) {
    check_parity(
        "noise_features", tolerance,
        [&, n = n, f = f](Ops& ops, Operands& o) {
          ops.noise_features(o.output("out", {n, f}), o.precise_input("sigma", {n}, noise_levels()));
        },
        in_bfloat16);
  }
  // Both ends of the usual range, and far beyond it.
  check_parity(
      "noise_features at the ends", tolerance,
      [&](Ops& ops, Operands& o) {
        ops.noise_features(o.output("out", {4, 256}), o.precise_input("sigma", {4}, list({0.002, 80, 1e-30, 1e30})));
      },
      in_bfloat16);
}

BOOST_AUTO_TEST_CASE(the_gradient_of_embedding_matches_finite_differences) {
  GradientCase c;
  c.what = "embedding";
  c.forward = [](Ops& ops, Operands& o) {
    ops.embedding_forward(o.output("out", {5, 3}), o.input("table", {4, 3}), o.labels("index", {2, 0, 2, 3, 2}));
  };
  c.backward = [](Ops& ops, Operands& o) {
    ops.embedding_backward(o.precise_changed("dtable", {4, 3}, constant(0)), o.input("dout", {5, 3}),
                           o.labels("index", {2, 0, 2, 3, 2}));
  };
  c.output = "out";
  c.cotangent = "dout";
  c.gradients = {{"table", "dtable"}};
  check_gradient(c);
}

BOOST_AUTO_TEST_CASE(by_hand) {
  for_each_implementation([](Ops& ops, Operands& o) {
    const Tensor table = o.input("table", {3, 2}, list({1, 2, 3, 4, 5, 6}));
    const Tensor index = o.labels("index", {2, 0, 2});
    ops.embedding_forward(o.output("out", {3, 2}), table, index);
    check_values(ops, o, "out", {5, 6, 1, 2, 5, 6}, 0);
    ops.embedding_backward(o.precise_changed("dtable", {3, 2}, constant(1)),
                           o.input("dout", {3, 2}, list({1, 2, 3, 4, 5, 6})), index);
    check_values(ops, o, "dtable", {4, 5, 1, 1, 7, 9}, 0);
    ops.add_rows(o.changed("x", {2, 1, 2}, list({1, 2, 3, 4})), o.input("row", {1, 2}, list({10, 20})));
    check_values(ops, o, "x", {11, 22, 13, 24}, 0);
    // sigma = e^4: c_noise = 1, w = 100 and 100 * 10000^(-1/2) = 1. sigma = 1: angle 0.
    ops.noise_features(o.output("features", {2, 4}), o.precise_input("sigma", {2}, list({std::exp(4.0), 1})));
    check_values(ops, o, "features", {std::cos(100.0), std::cos(1.0), std::sin(100.0), std::sin(1.0), 1, 1, 0, 0},
                 3e-6);
  });
}

BOOST_AUTO_TEST_CASE(an_index_outside_the_table_is_refused) {
  for_each_implementation([](Ops& ops, Operands& o) {
    if (ops.name() == std::string("cuda")) return;  // indices in its memory are not read back
    const Tensor table = o.changed("table", {3, 2}), rows = o.changed("rows", {1, 2});
    for (const std::int32_t bad : {-1, 3}) {
      const Tensor index = o.labels("index " + std::to_string(bad), {bad});
      BOOST_CHECK_THROW(ops.embedding_forward(rows, table, index), std::logic_error);
      BOOST_CHECK_THROW(ops.embedding_backward(table, rows, index), std::logic_error);
    }
  });
}

}  // namespace
