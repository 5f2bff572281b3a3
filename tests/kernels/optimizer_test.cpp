#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>

#include "tests/kernels/op_case.hpp"

using namespace blocktrain::kernels;
using namespace blocktrain::kernels::testing;

namespace {

const std::vector<std::int64_t> sizes{1, 17, 60, 16384, 16385, 100003};

AdamWParameters usual() {
  AdamWParameters a;
  a.weight_decay = 0.03;
  return a;
}

/// State as the trainer fills it in for `step`.
void prepare(StepState& state, int step, float learning_rate) {
  state.step = static_cast<std::uint32_t>(step);
  state.learning_rate = learning_rate;
  state.bias_correction1 = static_cast<float>(1 - std::pow(0.9, step + 1));
  state.bias_correction2 = static_cast<float>(1 - std::pow(0.999, step + 1));
}

Fill squares(double scale) {
  return [=](std::int64_t, double n) { return scale * n * n; };
}

void update(Ops& ops, Operands& o, std::int64_t n, const AdamWParameters& a) {
  ops.adamw(o.changed("p", {n}), o.changed("m", {n}, normal(0.1)), o.changed("v", {n}, squares(0.01)), {},
            o.input("g", {n}), &o.state, a);
}

BOOST_AUTO_TEST_CASE(sum_squares_agrees_with_the_reference) {
  for (const std::int64_t n : sizes) {
    check_parity("sum_squares", 3e-13, [&](Ops& ops, Operands& o) {
      ops.sum_squares(&o.state, o.input("x", {n}));
      ops.sum_squares(&o.state, o.input("more", {n}));
      o.record("sum", o.state.gradient_square_sum);
    });
  }
}

BOOST_AUTO_TEST_CASE(adamw_leaves_the_weights_in_the_type_the_network_computes_in) {
  for (const std::int64_t n : sizes) {
    check_parity(
        "adamw and the working weights", 1e-6,
        [&](Ops& ops, Operands& o) {
          prepare(o.state, 3, 1e-2f);
          o.state.gradient_scale = 0.5f;
          o.state.finite = 1;
          const Tensor p = o.precise_changed("p", {n}), m = o.precise_changed("m", {n}, normal(0.1));
          const Tensor v = o.precise_changed("v", {n}, squares(0.01)), working = o.output("working", {n});
          const bool other = ops.dtype() != precise(ops.dtype());
          ops.adamw(p, m, v, other ? working : Tensor(), o.precise_input("g", {n}), &o.state, usual());
          if (!other) ops.copy(working, p);
        },
        BFloat16Tolerance{});
  }
}

BOOST_AUTO_TEST_CASE(sum_squares_adds_in_double) {
  // 10 million ones: a float32 sum would stop at 2^24 or drift; and every piece of work has to be counted once.
  constexpr std::int64_t n = 10'000'019;
  Operands o(DType::float32);
  const auto ops = make_cpu_ops(3);
  ops->sum_squares(&o.state, o.input("x", {n}, constant(1)));
  BOOST_TEST(o.state.gradient_square_sum == static_cast<double>(n));
}

BOOST_AUTO_TEST_CASE(clip_gradient_by_hand) {
  for_each_implementation([](Ops& ops, Operands& o) {
    struct Case {
      double square_sum;
      float clip_norm, scale;
      std::int32_t finite;
    };
    for (const Case& c : {Case{16, 1, 0.25f, 1}, Case{16, 4, 1, 1}, Case{16, 5, 1, 1}, Case{16, 0, 1, 1},
                          Case{0, 1, 1, 1}, Case{1e60, 1, 1e-30f, 1}}) {
      o.state.gradient_square_sum = c.square_sum;
      o.state.clip_norm = c.clip_norm;
      ops.clip_gradient(&o.state);
      BOOST_TEST(o.state.gradient_scale == c.scale);
      BOOST_TEST(o.state.finite == c.finite);
    }
    for (const double bad : {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
      o.state.gradient_square_sum = bad;
      ops.clip_gradient(&o.state);
      BOOST_TEST(o.state.finite == 0);
      // The steps behind the one that failed fail with it.
      o.state.gradient_square_sum = 1;
      ops.clip_gradient(&o.state);
      BOOST_TEST(o.state.finite == 0);
      o.state.finite = 1;
    }
  });
}

BOOST_AUTO_TEST_CASE(a_nan_or_an_infinity_in_the_gradient_is_noticed) {
  for_each_implementation([](Ops& ops, Operands& o) {
    for (const double bad : {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
      const std::string name = std::to_string(bad);
      o.state = StepState{};
      ops.sum_squares(&o.state, o.input(name, {20000}, [=](std::int64_t e, double n) { return e == 19999 ? bad : n; }));
      ops.clip_gradient(&o.state);
      BOOST_TEST(o.state.finite == 0);
    }
  });
}

BOOST_AUTO_TEST_CASE(adamw_agrees_with_the_reference) {
  constexpr double tolerance = 3e-7;  // float32, relative to the largest value of p, m and v
  for (const std::int64_t n : sizes) {
    for (const int step : {0, 7, 100000}) {
      check_parity("adamw", tolerance, [&](Ops& ops, Operands& o) {
        prepare(o.state, step, 0.05f);
        o.state.gradient_scale = 0.5f;
        update(ops, o, n, usual());
      });
    }
  }
}

BOOST_AUTO_TEST_CASE(adamw_decays_all_weights_but_some) {
  // At odd places, at both ends, side by side in four weights, and more than a launch on a GPU takes at a time.
  const std::vector<ElementRange> few{{0, 16}, {17, 18}, {19, 20}, {100, 103}, {400, 800}, {999, 1000}};
  std::vector<ElementRange> many;
  for (std::int64_t begin = 3; begin + 4 < 2999; begin += 10) many.push_back({begin, begin + 4});
  for (const auto& [n, ranges] : {std::pair(std::int64_t{1000}, few), std::pair(std::int64_t{2999}, many)}) {
    for (const std::int64_t offset : {0, 1}) {  // packed and not
      check_parity(
          "adamw, " + std::to_string(ranges.size()) + " ranges without decay", 1e-6,
          [&](Ops& ops, Operands& o) {
            prepare(o.state, 3, 1e-2f);
            o.state.gradient_scale = 0.5f;
            o.state.finite = 1;
            const auto behind = [&](const Tensor& t) { return t.rows(offset, offset + n); };
            AdamWParameters a = usual();
            a.weight_decay = 5;  // not to be missed
            a.undecayed = ranges;
            const std::int64_t all = n + offset;
            const Tensor p = o.precise_changed("p", {all}), m = o.precise_changed("m", {all}, normal(0.1));
            const Tensor v = o.precise_changed("v", {all}, squares(0.01));
            const Tensor working = o.changed("working", {all}, constant(0));
            const bool other = ops.dtype() != precise(ops.dtype());
            ops.adamw(behind(p), behind(m), behind(v), other ? behind(working) : Tensor(),
                      behind(o.precise_input("g", {all})), &o.state, a);
            if (!other) ops.copy(behind(working), behind(p));
          },
          BFloat16Tolerance{});
    }
  }
}

BOOST_AUTO_TEST_CASE(many_small_steps_of_adamw_do_not_drift) {
  check_parity("adamw, 200 steps", 1e-6, [&](Ops& ops, Operands& o) {
    const Tensor p = o.changed("p", {60}), m = o.changed("m", {60}, constant(0)), v = o.changed("v", {60}, constant(0));
    for (int step = 0; step < 200; ++step) {
      prepare(o.state, step, 1e-3f);
      ops.adamw(p, m, v, {}, o.input("g" + std::to_string(step % 10), {60}, normal(0.02)), &o.state, usual());
    }
  });
}

BOOST_AUTO_TEST_CASE(adamw_by_hand) {
  for_each_implementation([](Ops& ops, Operands& o) {
    // The first step of Adam moves by the learning rate against the sign of the gradient, whatever its size.
    prepare(o.state, 0, 0.1f);
    AdamWParameters a;
    a.weight_decay = 0.5;
    const Tensor p = o.changed("p", {4}, list({1, 1, 1, 1})), m = o.changed("m", {4}, constant(0)),
                 v = o.changed("v", {4}, constant(0));
    ops.adamw(p, m, v, {}, o.input("g", {4}, list({3, -0.001, 0, 1000})), &o.state, a);
    // 1 - 0.1 * 0.5 * 1 - 0.1 * sign(g); epsilon shows at g = 0.001 only, with 1e-5 of the step.
    check_values(ops, o, "p", {0.85, 1.05 - 1e-6, 0.95, 0.85}, 3e-7);
    check_values(ops, o, "m", {0.3, -0.0001, 0, 100}, 1e-5);
    check_values(ops, o, "v", {0.009, 1e-9, 0, 1000}, 1e-4);
  });
}

BOOST_AUTO_TEST_CASE(nothing_changes_when_the_gradient_is_not_finite) {
  for_each_implementation([](Ops& ops, Operands& o) {
    prepare(o.state, 3, 0.1f);
    o.state.finite = 0;
    const Tensor p = o.changed("p", {3}, list({1, 2, 3})), m = o.changed("m", {3}, list({4, 5, 6})),
                 v = o.changed("v", {3}, list({7, 8, 9}));
    ops.adamw(p, m, v, {}, o.input("g", {3}, constant(std::nan(""))), &o.state, usual());
    check_values(ops, o, "p", {1, 2, 3}, 0);
    check_values(ops, o, "m", {4, 5, 6}, 0);
    check_values(ops, o, "v", {7, 8, 9}, 0);
    ops.exponential_average(p, o.input("new", {3}, constant(std::nan(""))), 0.9, &o.state);
    check_values(ops, o, "p", {1, 2, 3}, 0);
  });
}

BOOST_AUTO_TEST_CASE(exponential_average_agrees_with_the_reference) {
  for (const std::int64_t n : sizes) {
    for (const double decay : {0.0, 0.5, 0.9999}) {
      check_parity("exponential_average", 3e-7, [&](Ops& ops, Operands& o) {
        ops.exponential_average(o.changed("average", {n}), o.input("p", {n}), decay, &o.state);
      });
    }
  }
}

BOOST_AUTO_TEST_CASE(an_average_of_equal_weights_stays_there) {
  for_each_implementation([](Ops& ops, Operands& o) {
    const Tensor average = o.changed("average", {2}, list({0.3, -7}));
    const Tensor p = o.input("p", {2}, list({0.3, -7}));
    for (int i = 0; i < 20000; ++i) ops.exponential_average(average, p, 0.9999, &o.state);
    check_values(ops, o, "average", o.read("p"), ops.dtype() == DType::float32 ? 0 : 1e-12);
    ops.exponential_average(o.changed("other", {2}, list({2, 4})), o.input("q", {2}, list({6, 0})), 0.75, &o.state);
    check_values(ops, o, "other", {3, 3}, 0);
  });
}

}  // namespace
