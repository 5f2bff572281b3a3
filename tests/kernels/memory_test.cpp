#include <boost/test/unit_test.hpp>

#include "tests/kernels/op_case.hpp"

using namespace blocktrain::kernels;
using namespace blocktrain::kernels::testing;

constexpr BFloat16Tolerance in_bfloat16;

namespace {
constexpr double exact = 0;            // moves numbers
constexpr double one_rounding = 6e-8;  // float32, half a unit in the last place
const std::vector<std::pair<std::int64_t, std::int64_t>> shapes{{1, 1}, {3, 17}, {1, 40000}, {333, 129}};

BOOST_AUTO_TEST_CASE(fill_copy_add_agree_with_the_reference) {
  for (const auto& [rows, columns] : shapes) {
    for (const std::int64_t gap : {0, 5}) {
      check_parity(
          "fill", exact,
          [&](Ops& ops, Operands& o) {
            ops.fill(o.output("out", {rows, columns}, columns + gap), 2.5);
          },
          in_bfloat16);
      check_parity(
          "copy", exact,
          [&](Ops& ops, Operands& o) {
            ops.copy(o.output("out", {rows, columns}, columns + gap),
                     o.input("x", {rows, columns}, normal(), columns + 3));
          },
          in_bfloat16);
      check_parity(
          "add", one_rounding,
          [&](Ops& ops, Operands& o) {
            ops.add(o.changed("out", {rows, columns}, normal(), columns + gap),
                    o.input("x", {rows, columns}, normal(), columns));
          },
          in_bfloat16);
    }
  }
}

BOOST_AUTO_TEST_CASE(copy_moves_labels) {
  for_each_implementation([](Ops& ops, Operands& o) {
    ops.copy(o.label_output("out", 3), o.labels("x", {7, -1, 2000000000}));
    check_values(ops, o, "out", {7, -1, 2000000000}, 0);
  });
}

BOOST_AUTO_TEST_CASE(axpby_agrees_with_the_reference) {
  for (const auto& [rows, columns] : shapes) {
    check_parity(
        "axpby", 1.5e-7,
        [&](Ops& ops, Operands& o) {
          ops.axpby(o.output("out", {rows, columns}), 0.3, o.input("x", {rows, columns}), -1.7,
                    o.input("y", {rows, columns}));
        },
        in_bfloat16);
    check_parity(
        "axpby in place of x", 1.5e-7,
        [&](Ops& ops, Operands& o) {
          const Tensor x = o.changed("x", {rows, columns});
          ops.axpby(x, 0.3, x, -1.7, o.input("y", {rows, columns}));
        },
        in_bfloat16);
    check_parity(
        "axpby in place of y", 1.5e-7,
        [&](Ops& ops, Operands& o) {
          const Tensor y = o.changed("y", {rows, columns});
          ops.axpby(y, 0.3, o.input("x", {rows, columns}), -1.7, y);
        },
        in_bfloat16);
  }
}

BOOST_AUTO_TEST_CASE(by_hand) {
  for_each_implementation([](Ops& ops, Operands& o) {
    const Tensor x = o.input("x", {2, 2}, list({1, 2, 3, 4}));
    const Tensor sum = o.changed("sum", {2, 2}, list({10, 20, 30, 40}), 3);
    ops.add(sum, x);
    check_values(ops, o, "sum", {11, 22, 33, 44}, 0);
    ops.axpby(o.output("out", {2, 2}), 2, x, -1, o.input("y", {2, 2}, list({1, 1, 0, 8})));
    check_values(ops, o, "out", {1, 3, 6, 0}, 0);
  });
}

BOOST_AUTO_TEST_CASE(shapes_that_do_not_fit_are_refused) {
  for_each_implementation([](Ops& ops, Operands& o) {
    const Tensor x = o.input("x", {2, 3}), y = o.input("y", {3, 2});
    BOOST_CHECK_THROW(ops.copy(x, y), std::logic_error);
    BOOST_CHECK_THROW(ops.add(x, y), std::logic_error);
    BOOST_CHECK_THROW(ops.axpby(x, 1, x, 1, y), std::logic_error);
  });
}

BOOST_AUTO_TEST_CASE(convert_keeps_float32_values) {
  for (const std::int64_t n : {1, 60, 20001}) {
    check_parity(
        "convert", 0,
        [&](Ops& ops, Operands& o) {
          ops.convert(o.output("narrow", {n}), o.precise_input("x", {n}));
          ops.convert(o.precise_output("wide", {n}), o.input("y", {n}));
        },
        BFloat16Tolerance{.stored = 4e-3, .precise = 0});
  }
}

}  // namespace
