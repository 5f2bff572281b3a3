#include <boost/test/unit_test.hpp>
#include <cmath>

#include "tests/kernels/cuda_case.hpp"
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

/// Tables and rows of which a GPU sorts the rows by index: large tables, long indices, several digits.
struct SortedCase {
  std::int64_t rows, samples, width;
  std::int32_t bound;  ///< of the indices
};
const std::vector<SortedCase> sorted_cases{
    {50257, 5, 3, 50257},    {50257, 700, 2, 50257}, {70000, 20, 9, 70000},
    {3, 5000, 5, 3},         {300, 1500, 7, 2},      {1, 1300, 3, 1},
#ifndef TEST_EMULATED_GPU
    {50257, 20000, 64, 400},
#endif
};

BOOST_AUTO_TEST_CASE(the_gradient_of_any_table_agrees_with_the_reference) {
  for (const SortedCase& s : sorted_cases) {
    check_parity(
        "embedding_backward, " + std::to_string(s.rows) + " rows, " + std::to_string(s.samples) + " samples", 3e-6,
        [&](Ops& ops, Operands& o) {
          ops.embedding_backward(o.precise_changed("dtable", {s.rows, s.width}), o.input("dout", {s.samples, s.width}),
                                 o.labels("index", s.samples, s.bound));
        },
        BFloat16Tolerance{.stored = 4e-3, .precise = 3e-6});
  }
}

BOOST_AUTO_TEST_CASE(sorted_rows_are_added_in_order_too) {
  // By the bits of one implementation: 600 rows go to a table of 5000 by sorting, to one of 3 one by one. Row 1 gets
  // 1e8, then 1, then -1e8; those of the other indices lie between.
  for (const auto& [rows, name] : {std::pair{std::int64_t{5000}, "large"}, {std::int64_t{3}, "small"}}) {
    const Call call = [rows = rows](Ops& ops, Operands& o) {
      std::vector<std::int32_t> index(500, 2);
      index[7] = index[99] = index[431] = 1;
      ops.embedding_backward(
          o.precise_changed("dtable", {rows, 1}, constant(0)),
          o.input("dout", {500, 1}, [](std::int64_t n, double) { return n == 7     ? 1e8
                                                                        : n == 431 ? -1e8
                                                                                   : 1.0; }),
          o.labels("index", index));
      if (ops.dtype() != DType::float32) return;
      ops.synchronize();
      BOOST_TEST(o.read("dtable")[1] == 0);  // in another order 1
      BOOST_TEST(o.read("dtable")[2] == 497);
    };
    parity(call);
    (void)name;
  }
}

BOOST_AUTO_TEST_CASE(listed_rows_alone_are_looked_up_and_added) {
  const Call call = [](Ops& ops, Operands& o) {
    const Tensor index = o.labels("index", {2, 0, -1, 3, 2, 1}), rows = o.labels("rows", {4, 1, 2, 0});
    ops.embedding_forward(o.changed("out", {6, 3}), o.input("table", {4, 3}), index, rows);
    ops.embedding_backward(o.precise_changed("dtable", {4, 3}), o.input("dout", {6, 3}), index, rows);
  };
  check_parity("embedding, listed rows", 2e-7, call, in_bfloat16);
  check_parity(
      "embedding, another number ignored", 2e-7,
      [](Ops& ops, Operands& o) {
        const Tensor index = o.labels("index", {2, 0, 3, 3, 2, 1});
        ops.embedding_forward(o.output("out", {6, 3}), o.input("table", {4, 3}), index, {}, 3);
        ops.embedding_backward(o.precise_changed("dtable", {4, 3}), o.input("dout", {6, 3}), index, {}, 3);
      },
      in_bfloat16);
  for_each_implementation([](Ops& ops, Operands& o) {
    const Tensor table = o.input("table", {2, 1}, list({10, 20}));
    const Tensor index = o.labels("index", {1, -1, 0, 0}), rows = o.labels("rows", {0, 1, 3});
    ops.embedding_forward(o.changed("out", {4, 1}, constant(7)), table, index, rows);
    check_values(ops, o, "out", {20, 0, 7, 10}, 0);
    ops.embedding_backward(o.precise_changed("dtable", {2, 1}, constant(1)), o.input("d", {4, 1}, list({1, 2, 4, 8})),
                           index, rows);
    check_values(ops, o, "dtable", {9, 2}, 0);
  });
}

BOOST_AUTO_TEST_CASE(an_index_outside_the_table_is_refused_or_shows) {
  for_each_implementation([](Ops& ops, Operands& o) {
    if (ops.name() == std::string("cuda")) return;  // its indices are not looked at before
    const Tensor table = o.changed("table", {3, 2}), rows = o.changed("rows", {1, 2});
    for (const std::int32_t bad : {-2, 3}) {
      const Tensor index = o.labels("index " + std::to_string(bad), {bad});
      BOOST_CHECK_THROW(ops.embedding_forward(rows, table, index), std::logic_error);
      BOOST_CHECK_THROW(ops.embedding_backward(table, rows, index), std::logic_error);
      BOOST_CHECK_THROW(ops.embedding_forward(rows, table, o.labels("good", {0}), index), std::logic_error);
    }
    ops.embedding_forward(rows, table, o.labels("none", {-1}));  // ignored
  });
  // A GPU does not look before: the row is no number, and the gradient of the table lacks it.
  if (const auto ops = cuda_ops(DType::float32)) {
    Operands o(*ops);
    for (const std::int32_t bad : {-2, 3, 1 << 30}) {
      const Tensor index = o.labels("index " + std::to_string(bad), {0, bad});
      ops->embedding_forward(o.output("out", {2, 1}), o.input("table", {3, 1}, constant(5)), index);
      ops->embedding_backward(o.precise_changed("dtable", {3, 1}, constant(1)), o.input("dout", {2, 1}, constant(2)),
                              index);
      BOOST_TEST(o.read("out")[0] == 5);
      BOOST_TEST(std::isnan(o.read("out")[1]));
      BOOST_TEST((o.read("dtable") == std::vector<double>{3, 1, 1}));
      // A row outside is left out.
      const Tensor rows = o.labels("rows " + std::to_string(bad), {bad, 1}), right = o.labels("right", {0, 2});
      ops->embedding_forward(o.changed("some", {2, 1}, constant(7)), o.input("table", {3, 1}, constant(5)), right,
                             rows);
      ops->embedding_backward(o.precise_changed("dtable", {3, 1}, constant(1)), o.input("dout", {2, 1}, constant(2)),
                              right, rows);
      BOOST_TEST((o.read("some") == std::vector<double>{7, 5}));
      BOOST_TEST((o.read("dtable") == std::vector<double>{1, 1, 3}));
    }
  }
}

BOOST_AUTO_TEST_CASE(what_comes_from_a_file_is_checked_with_its_place) {
  const std::vector<std::int32_t> good{0, 4, -1}, bad{0, 5, 9};
  BOOST_CHECK_NO_THROW(check_indices(good, 5));
  BOOST_CHECK_THROW(check_indices(good, 4), blocktrain::InputError);
  BOOST_CHECK_THROW(check_indices(good, 5, -2), blocktrain::InputError);
  BOOST_CHECK_EXCEPTION(check_indices(bad, 5), blocktrain::InputError, [](const blocktrain::InputError& e) {
    return std::string(e.what()) == "number 1 of 3 indices is 5, but they count from 0 to 4";
  });
}

}  // namespace
