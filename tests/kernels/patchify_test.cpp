#include <boost/test/unit_test.hpp>
#include <cmath>

#include "tests/kernels/op_case.hpp"

using namespace blocktrain::kernels;
using namespace blocktrain::kernels::testing;

namespace {

constexpr BFloat16Tolerance in_bfloat16;
struct Shape {
  std::int64_t n, channels, height, width;
  int patch;
  std::int64_t tokens() const { return height / patch * (width / patch); }
  std::int64_t token_size() const { return channels * patch * patch; }
};
const std::vector<Shape> shapes{{1, 1, 1, 1, 1},   {2, 1, 8, 8, 2},  {3, 3, 6, 9, 3},  {5, 3, 32, 32, 2},
                                {2, 3, 32, 16, 4}, {3, 4, 10, 5, 5}, {1, 2, 16, 16, 8}};

BOOST_AUTO_TEST_CASE(patchify_agrees_with_the_reference) {
  for (const Shape& s : shapes) {
    check_parity(
        "patchify", 1.2e-7,
        [&](Ops& ops, Operands& o) {
          ops.patchify(o.output("tokens", {s.n, s.tokens(), s.token_size()}),
                       o.precise_input("image", {s.n, s.channels, s.height, s.width}), s.patch,
                       o.precise_input("sigma", {s.n}, noise_levels()), 0.5);
        },
        in_bfloat16);
    check_parity(
        "patchify without sigma", 0,
        [&](Ops& ops, Operands& o) {
          ops.patchify(o.output("tokens", {s.n, s.tokens(), s.token_size()}),
                       o.precise_input("image", {s.n, s.channels, s.height, s.width}), s.patch, Tensor(), 0.5);
        },
        in_bfloat16);
    check_parity(
        "unpatchify", 0,
        [&](Ops& ops, Operands& o) {
          ops.unpatchify(o.precise_output("image", {s.n, s.channels, s.height, s.width}),
                         o.input("tokens", {s.n, s.tokens(), s.token_size()}), s.patch);
        },
        in_bfloat16);
  }
}

BOOST_AUTO_TEST_CASE(unpatchify_undoes_patchify) {
  for (const Shape& s : shapes) {
    for_each_implementation([&](Ops& ops, Operands& o) {
      const Tensor tokens = o.output("tokens", {s.n, s.tokens(), s.token_size()});
      ops.patchify(tokens, o.precise_input("image", {s.n, s.channels, s.height, s.width}), s.patch, Tensor(), 0.5);
      ops.unpatchify(o.precise_output("again", {s.n, s.channels, s.height, s.width}), tokens, s.patch);
      BOOST_TEST(o.read("again") == o.read("image"));
    });
  }
}

BOOST_AUTO_TEST_CASE(unpatchify_is_the_gradient_of_patchify) {
  GradientCase c;
  c.what = "patchify";
  c.forward = [](Ops& ops, Operands& o) {
    ops.patchify(o.output("out", {2, 6, 8}), o.precise_input("image", {2, 2, 4, 6}), 2, Tensor(), 0.5);
  };
  c.backward = [](Ops& ops, Operands& o) {
    ops.unpatchify(o.precise_output("dimage", {2, 2, 4, 6}), o.input("dout", {2, 6, 8}), 2);
  };
  c.output = "out";
  c.cotangent = "dout";
  c.gradients = {{"image", "dimage"}};
  check_gradient(c);
}

BOOST_AUTO_TEST_CASE(by_hand) {
  for_each_implementation([](Ops& ops, Operands& o) {
    // Two channels of 2 x 4 pixels, patch 2: two tokens of channel, row, column.
    std::vector<double> pixels;
    for (int i = 0; i < 16; ++i) pixels.push_back(i);
    const Tensor image = o.precise_input("image", {1, 2, 2, 4}, list(pixels));
    ops.patchify(o.output("tokens", {1, 2, 8}), image, 2, Tensor(), 0.5);
    check_values(ops, o, "tokens", {0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15}, 0);
    // sigma 1.2, sigma_data 0.5: c_in = 1/1.3
    ops.patchify(o.output("scaled", {1, 2, 8}), image, 2, o.precise_input("sigma", {1}, list({1.2})), 0.5);
    BOOST_TEST(std::abs(o.read("scaled")[7] - 10) < 2e-6);
  });
}

BOOST_AUTO_TEST_CASE(shapes_that_do_not_fit_are_refused) {
  for_each_implementation([](Ops& ops, Operands& o) {
    BOOST_CHECK_THROW(
        ops.patchify(o.changed("tokens", {1, 4, 4}), o.precise_changed("image", {1, 1, 5, 4}), 2, Tensor(), 0.5),
        std::logic_error);
    BOOST_CHECK_THROW(ops.unpatchify(o.changed("other", {1, 1, 4, 4}), o.changed("few", {1, 3, 4}), 2),
                      std::logic_error);
  });
}

}  // namespace
