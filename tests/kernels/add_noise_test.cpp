// add_noise and drop_labels: what happens to a batch before a block sees it.
#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>

#include "tests/kernels/op_case.hpp"

using namespace blocktrain::kernels;
using namespace blocktrain::kernels::testing;

namespace {
constexpr double tolerance = 2e-7;  // float32, relative to the largest value
const RandomKey key{0x1234567890abcdefull, Purpose::noise, 3};

BOOST_AUTO_TEST_CASE(add_noise_agrees_with_the_reference) {
  for (const auto& [n, p] : std::vector<std::array<std::int64_t, 2>>{{1, 1}, {3, 17}, {2, 64}, {5, 3072}, {2, 9001}}) {
    check_parity("add_noise", tolerance, [&, n = n, p = p](Ops& ops, Operands& o) {
      o.state.step = 12;
      ops.add_noise(o.output("z", {n, p}), o.input("y", {n, p}), o.input("sigma", {n}, noise_levels()), key, &o.state,
                    7);
    });
  }
}

BOOST_AUTO_TEST_CASE(add_noise_is_y_plus_sigma_times_random_normal) {
  for_each_implementation([](Ops& ops, Operands& o) {
    o.state.step = 5;
    // y = 0 and sigma = 1, 2, 0: the noise itself, doubled, none.
    ops.add_noise(o.output("z", {3, 2, 5}), o.input("y", {3, 2, 5}, constant(0)),
                  o.input("sigma", {3}, list({1, 2, 0})), key, &o.state, 40);
    ops.random_normal(o.output("eps", {3, 10}), key, 5, 40);
    const std::vector<double> eps = o.read("eps");
    std::vector<double> expected;
    for (std::size_t i = 0; i < 30; ++i) expected.push_back(eps[i] * (i < 10 ? 1 : i < 20 ? 2 : 0));
    check_values(ops, o, "z", expected, 0);
    // The step comes from the state.
    o.state.step = 6;
    ops.add_noise(o.output("later", {3, 2, 5}), o.input("y", {3, 2, 5}), o.input("sigma", {3}), key, &o.state, 40);
    BOOST_TEST(o.read("later") != o.read("z"));
  });
}

BOOST_AUTO_TEST_CASE(drop_labels_agrees_with_the_reference) {
  const RandomKey own{99, Purpose::label_dropout, 1};
  for (const double p : {0.0, 0.1, 1.0}) {
    check_parity("drop_labels", 0, [&](Ops& ops, Operands& o) {
      o.state.step = 3;
      ops.drop_labels(o.label_output("out", 1001), o.labels("in", 1001, 10), 10, p, own, &o.state, 5);
    });
  }
}

BOOST_AUTO_TEST_CASE(labels_are_dropped_as_often_as_asked_and_where_the_words_say) {
  const RandomKey own{99, Purpose::label_dropout, 1};
  for_each_implementation([&](Ops& ops, Operands& o) {
    constexpr std::int64_t n = 20000;
    o.state.step = 3;
    ops.drop_labels(o.label_output("out", n), o.labels("in", n, 10), 10, 0.1, own, &o.state, 5);
    const std::vector<double> out = o.read("out"), in = o.read("in");
    std::int64_t dropped = 0, misplaced = 0;
    for (std::uint32_t i = 0; i < n; ++i) {
      const bool drop = uniform_open(random_words(own, 3, 5 + i, 0)[0]) < 0.1;
      dropped += drop ? 1 : 0;
      misplaced += out[i] == (drop ? 10 : in[i]) ? 0 : 1;
    }
    BOOST_TEST(misplaced == 0);
    // Binomial deviation sqrt(20000 * 0.1 * 0.9) = 42; four of them.
    BOOST_TEST(std::abs(dropped - 2000) < 170);
  });
}

BOOST_AUTO_TEST_CASE(no_label_is_the_null_label_and_no_state_is_step_0) {
  const RandomKey own{99, Purpose::label_dropout, 1};
  for_each_implementation([&](Ops& ops, Operands& o) {
    ops.drop_labels(o.label_output("none", 3), o.labels("in", {4, -1, -7}), 10, 0, own, nullptr, 0);
    check_values(ops, o, "none", {4, 10, 10}, 0);
    ops.drop_labels(o.label_output("no state", 500), o.labels("many", 500, 10), 10, 0.5, own, nullptr, 0);
    o.state.step = 0;
    ops.drop_labels(o.label_output("step 0", 500), o.labels("many", 500, 10), 10, 0.5, own, &o.state, 0);
    BOOST_TEST(o.read("no state") == o.read("step 0"));
    o.state.step = 1;
    ops.drop_labels(o.label_output("step 1", 500), o.labels("many", 500, 10), 10, 0.5, own, &o.state, 0);
    BOOST_TEST(o.read("step 1") != o.read("step 0"));
  });
}

}  // namespace
