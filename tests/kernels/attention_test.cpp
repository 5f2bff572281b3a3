#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "tests/kernels/op_case.hpp"

using namespace blocktrain::kernels;
using namespace blocktrain::kernels::testing;

namespace {

constexpr BFloat16Tolerance in_bfloat16{.stored = 8e-3, .precise = 1e-5};  // cuDNN rounds the probabilities too
constexpr double tolerance = 3e-6;  // float32, relative to the largest value of each result

struct Shape {
  std::int64_t n, t, c;
  int heads;
};
const std::vector<Shape> shapes{{1, 1, 1, 1},   {1, 1, 20, 4},  {3, 17, 20, 4}, {3, 17, 20, 1},
                                {2, 16, 64, 4}, {2, 64, 64, 2}, {1, 65, 48, 3}, {2, 33, 256, 2},
                                {5, 9, 14, 7},  {1, 7, 300, 3}, {2, 5, 256, 1},
#ifndef TEST_EMULATED_GPU  // a minute there
                                {1, 257, 24, 2}
#endif
};

std::string name(const std::string& op, const Shape& s) {
  return op + " N=" + std::to_string(s.n) + " T=" + std::to_string(s.t) + " C=" + std::to_string(s.c) +
         " heads=" + std::to_string(s.heads);
}

/// A sample among itself, by columns of packed rows.
void attend(Ops& ops, const Tensor& out, const Tensor& log_sum_exp, const Tensor& qkv, int heads) {
  ops.attention_forward(out, log_sum_exp, packed_part(qkv, 0), packed_part(qkv, 1), packed_part(qkv, 2),
                        {heads, heads, {}, false});
}
void attend_backward(Ops& ops, const Tensor& dqkv, const Tensor& dout, const Tensor& out, const Tensor& log_sum_exp,
                     const Tensor& qkv, int heads) {
  ops.attention_backward(packed_part(dqkv, 0), packed_part(dqkv, 1), packed_part(dqkv, 2), dout, out, log_sum_exp,
                         packed_part(qkv, 0), packed_part(qkv, 1), packed_part(qkv, 2), {heads, heads, {}, false},
                         GradientWrite::replace, GradientWrite::replace);
}

void forward(Ops& ops, Operands& o, const Shape& s, double scale) {
  attend(ops, o.output("out", {s.n, s.t, s.c}), o.precise_output("log_sum_exp", {s.n, s.heads, s.t}),
         o.input("qkv", {s.n, s.t, 3 * s.c}, normal(scale)), s.heads);
}

void backward(Ops& ops, Operands& o, const Shape& s) {
  attend_backward(ops, o.output("dqkv", {s.n, s.t, 3 * s.c}), o.input("dout", {s.n, s.t, s.c}),
                  o.input("out", {s.n, s.t, s.c}), o.precise_input("log_sum_exp", {s.n, s.heads, s.t}),
                  o.input("qkv", {s.n, s.t, 3 * s.c}), s.heads);
}

BOOST_AUTO_TEST_CASE(attention_agrees_with_the_reference) {
  for (const Shape& s : shapes) {
    check_parity(
        name("attention_forward", s), tolerance, [&](Ops& ops, Operands& o) { forward(ops, o, s, 1); }, in_bfloat16);
    check_parity(
        name("attention_backward", s), tolerance,
        [&](Ops& ops, Operands& o) {
          forward(ops, o, s, 1);
          backward(ops, o, s);
        },
        in_bfloat16);
  }
}

BOOST_AUTO_TEST_CASE(large_scores_do_not_overflow) {
  // Scores reach several hundred, beyond what exp() of a float32 can take.
  check_parity(
      "attention_forward, large scores", 2e-5,
      [&](Ops& ops, Operands& o) {
        forward(ops, o, {2, 17, 40, 2}, 12);
      },
      in_bfloat16);
}

BOOST_AUTO_TEST_CASE(gradients_of_very_low_scores_are_finite) {
  // All about -100, in tiles that tokens fill by half and whole: what is read past the last token must not count. The
  // sums of a row cancel, so little is left of the accuracy.
  for (const std::int64_t tokens : {64, 128}) {
    const std::int64_t width = 128;
    const auto low = [=](std::int64_t element, double n) {
      const std::int64_t which = element % (3 * width) / width;  // q, k, v
      const double ramp = 1 + 1e-2 * static_cast<double>(element % 7);
      return which == 0 ? ramp : which == 1 ? -12.5 * ramp : n;
    };
    check_parity(
        "attention_backward, low scores, " + std::to_string(tokens) + " tokens", 2e-4,
        [&](Ops& ops, Operands& o) {
          const Tensor qkv = o.input("qkv", {2, tokens, 3 * width}, low);
          const Tensor out = o.output("out", {2, tokens, width}),
                       sums = o.precise_output("log_sum_exp", {2, 2, tokens});
          attend(ops, out, sums, qkv, 2);
          attend_backward(ops, o.output("dqkv", {2, tokens, 3 * width}), o.input("dout", {2, tokens, width}), out, sums,
                          qkv, 2);
        },
        BFloat16Tolerance{.stored = 5e-2, .precise = 1e-5});
  }
}

BOOST_AUTO_TEST_CASE(gradients_match_finite_differences) {
  for (const Shape& s : {Shape{2, 3, 4, 2}, Shape{1, 5, 3, 1}}) {
    GradientCase c;
    c.what = name("attention", s);
    c.forward = [&](Ops& ops, Operands& o) { forward(ops, o, s, 1); };
    c.backward = [&](Ops& ops, Operands& o) { backward(ops, o, s); };
    c.output = "out";
    c.cotangent = "dout";
    c.gradients = {{"qkv", "dqkv"}};
    check_gradient(c);
  }
}

#ifndef TEST_EMULATED_GPU
BOOST_AUTO_TEST_CASE(what_is_longer_than_a_threads_scratch_is_cut_by_the_cpu) {
  // Wide heads stand for long contexts, which the reference would take minutes for: tiles of keys of every size, the
  // last one short. GPUs have nothing of the kind.
  for (const Shape& s :
       {Shape{1, 270, 2048, 1}, Shape{1, 140, 8000, 2}, Shape{1, 70, 14500, 1}, Shape{1, 17, 29088, 1}}) {
    const auto results = [&](const std::unique_ptr<Ops>& ops) {
      Operands o(ops->dtype(), Operands::Memory::host);
      forward(*ops, o, s, 1);
      backward(*ops, o, s);
      BOOST_TEST(o.damage().empty(), o.damage());
      return std::vector{o.read("out"), o.read("log_sum_exp"), o.read("dqkv")};
    };
    const auto expected = results(make_reference_ops()), one = results(make_cpu_ops(1));
    BOOST_TEST((results(make_cpu_ops(3)) == one), name("threads", s));
    for (std::size_t r = 0; r < expected.size(); ++r) {
      double largest = 0, error = 0;
      for (std::size_t i = 0; i < expected[r].size(); ++i) {
        largest = std::max(largest, std::abs(expected[r][i]));
        error = std::max(error, std::abs(expected[r][i] - one[r][i]));
      }
      // A score is a sum of up to 29,088 products, in float32.
      BOOST_TEST(error <= 4 * tolerance * largest, name("result " + std::to_string(r), s) << ": " << error / largest);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_tile_of_keys_that_count_for_nothing_may_come_first) {
  // Their scores are minus infinity, and the softmax has seen nothing else so far: the difference of two infinities
  // would be no number.
  constexpr Shape s{1, 70, 14500, 1};
  constexpr std::int64_t without = 64;
  const auto results = [&](const std::unique_ptr<Ops>& ops) {
    Operands o(ops->dtype(), Operands::Memory::host);
    const auto values = [&](std::int64_t element, double n) {
      const std::int64_t token = element / (3 * s.c), channel = element % (3 * s.c);
      if (channel == 0) return 1.0;                                                            // of q
      if (channel == s.c && token < without) return -std::numeric_limits<double>::infinity();  // of k
      return n;
    };
    attend(*ops, o.output("out", {s.n, s.t, s.c}), o.precise_output("log_sum_exp", {s.n, s.heads, s.t}),
           o.input("qkv", {s.n, s.t, 3 * s.c}, values), s.heads);
    BOOST_TEST(o.damage().empty(), o.damage());
    return std::vector{o.read("out"), o.read("log_sum_exp")};
  };
  const auto expected = results(make_reference_ops()), found = results(make_cpu_ops(1));
  for (std::size_t r = 0; r < expected.size(); ++r) {
    for (std::size_t i = 0; i < expected[r].size(); ++i) {
      const bool close = std::abs(expected[r][i] - found[r][i]) <= 1e-4;  // not where one is no number
      if (!close) {
        BOOST_ERROR("result " << r << ", element " << i << ": " << found[r][i] << " instead of " << expected[r][i]);
        break;
      }
    }
  }
}
#endif

BOOST_AUTO_TEST_CASE(by_hand) {
  for_each_implementation([](Ops& ops, Operands& o) {
    // One head of one channel, two tokens: q = (1, 0), k = (ln 3, 0), v = (4, 8).
    // Token 0 attends 3/4 and 1/4, token 1 attends 1/2 and 1/2.
    const double log3 = std::log(3.0);
    const Tensor qkv = o.input("qkv", {1, 2, 3}, list({1, log3, 4, 0, 0, 8}));
    const Tensor out = o.output("out", {1, 2, 1}), log_sum_exp = o.precise_output("log_sum_exp", {1, 1, 2});
    attend(ops, out, log_sum_exp, qkv, 1);
    check_values(ops, o, "out", {5, 6});
    check_values(ops, o, "log_sum_exp", {std::log(4.0), std::log(2.0)});
    // dout = (1, 2). dp = dout v; dscore = p (dp - dout out): token 0: 3/4 (4-5), 1/4 (8-5); token 1: 1/2 (8-12),
    // 1/2 (16-12). dq = dscore k, dk = dscore^T q, dv = p^T dout.
    attend_backward(ops, o.output("dqkv", {1, 2, 3}), o.input("dout", {1, 2, 1}, list({1, 2})), out, log_sum_exp, qkv,
                    1);
    check_values(ops, o, "dqkv", {-0.75 * log3, -0.75, 1.75, -2 * log3, 0.75, 1.25}, 2e-6);
  });
}

BOOST_AUTO_TEST_CASE(heads_do_not_mix) {
  for_each_implementation([](Ops& ops, Operands& o) {
    // Two heads of one channel. Head 0 looks at the first token only, head 1 at the second.
    const Tensor qkv = o.input("qkv", {1, 2, 6}, list({9, 9, 9, -9, 1, 2, 9, 9, -9, 9, 3, 4}));
    attend(ops, o.output("out", {1, 2, 2}), o.precise_output("log_sum_exp", {1, 2, 2}), qkv, 2);
    check_values(ops, o, "out", {1, 4, 1, 4});
    check_values(ops, o, "log_sum_exp", {81, 81, 81, 81});
  });
}

}  // namespace
