#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "tests/kernels/op_case.hpp"

using namespace blocktrain::kernels;
using namespace blocktrain::kernels::testing;

namespace {

constexpr BFloat16Tolerance in_bfloat16{.stored = 1.6e-2, .precise = 1e-5};
constexpr double tolerance = 3e-6;  // float32, relative to the largest value of each result

/// Queries of n samples over `keys` keys, heads of `width` numbers.
struct Case {
  const char* name;
  std::int64_t n, queries, keys, width;
  AttentionForm form;
};

const std::vector<Case> cases{
    {"causal", 2, 17, 17, 8, {2, 2, AttentionMask::causal(), false}},
    {"causal behind a prefix, grouped", 2, 3, 13, 20, {6, 2, AttentionMask::causal(10), false}},
    {"grouped, full", 1, 9, 9, 16, {4, 1, {}, false}},
    {"other queries than keys", 2, 5, 21, 12, {3, 3, {}, false}},
    {"chunks up to the own", 2, 19, 19, 8, {2, 1, AttentionMask::up_to_own_chunk(4), false}},
    {"chunks before the own", 2, 19, 19, 8, {2, 2, AttentionMask::before_own_chunk(4), false}},
    {"the own chunk", 2, 19, 19, 8, {2, 2, AttentionMask::own_chunk(4), false}},
    {"the own key", 1, 7, 7, 8, {2, 2, AttentionMask::own_chunk(1), false}},
    {"one query", 3, 1, 70, 5, {2, 1, AttentionMask::causal(69), false}},
#ifndef TEST_EMULATED_GPU  // long there
    {"several blocks and tiles", 1, 150, 1100, 24, {4, 2, AttentionMask::causal(950), false}},
    {"several blocks of chunks", 1, 200, 200, 64, {2, 2, AttentionMask::before_own_chunk(70), false}},
#endif
};

struct Tensors {
  Tensor q, k, v;
};
Tensors inputs(Operands& o, const Case& c) {
  const std::int64_t wide = c.form.heads * c.width, narrow = c.form.kv_heads * c.width;
  // Rows apart, and samples apart: what packed rows and a cache's used part look like.
  return {o.input("q", {c.n * c.queries, wide}, normal(), wide + 8),
          o.input("k", {c.n, c.keys, narrow}, normal(), (c.keys + 2) * narrow),
          o.input("v", {c.n * c.keys, narrow}, normal(), 2 * narrow)};
}
void forward(Ops& ops, Operands& o, const Case& c) {
  const Tensors in = inputs(o, c);
  ops.attention_forward(o.output("out", {c.n, c.queries, c.form.heads * c.width}),
                        o.precise_output("log_sum_exp", {c.n, c.form.heads, c.queries}), in.q, in.k, in.v, c.form);
}
/// With `add` on top of what is there.
void backward(Ops& ops, Operands& o, const Case& c, bool add) {
  const Tensors in = inputs(o, c);
  const std::int64_t wide = c.form.heads * c.width, narrow = c.form.kv_heads * c.width;
  const auto gradient = [&](const std::string& name, Dims dims, std::int64_t stride) {
    return add ? o.changed(name, dims, normal(), stride) : o.output(name, dims, stride);
  };
  const GradientWrite write = add ? GradientWrite::add : GradientWrite::replace;
  ops.attention_backward(gradient("dq", {c.n * c.queries, wide}, wide + 8), gradient("dk", {c.n * c.keys, narrow}, 0),
                         gradient("dv", {c.n, c.keys, narrow}, (c.keys + 1) * narrow),
                         o.input("dout", {c.n, c.queries, wide}), o.input("out", {c.n, c.queries, wide}),
                         o.precise_input("log_sum_exp", {c.n, c.form.heads, c.queries}), in.q, in.k, in.v, c.form,
                         write, write);
}

BOOST_AUTO_TEST_CASE(ranges_are_what_the_masks_say) {
  const auto sees = [](const AttentionMask& mask, std::int64_t i, std::int64_t j) {
    const std::int64_t own = mask.chunk == 0 ? 0 : (i + mask.offset) / mask.chunk;
    const std::int64_t other = mask.chunk == 0 ? 0 : j / mask.chunk;
    return mask.chunk == 0 || (other < own && mask.before) || (other == own && mask.own);
  };
  for (const AttentionMask& mask :
       {AttentionMask::full(), AttentionMask::causal(), AttentionMask::causal(5), AttentionMask::up_to_own_chunk(3),
        AttentionMask::before_own_chunk(3, 7), AttentionMask::own_chunk(4, 2), AttentionMask::own_chunk(1)}) {
    for (std::int64_t i = 0; i < 11; ++i) {
      for (std::int64_t j = 0; j < 13; ++j) {
        const TokenRange keys = mask.keys_of(i, 13), queries = mask.queries_of(j, 11);
        BOOST_TEST((keys.begin <= j && j < keys.end) == sees(mask, i, j));
        BOOST_TEST((queries.begin <= i && i < queries.end) == sees(mask, i, j));
      }
    }
  }
  // As method.md, section 2 and 6, put it: key j is seen when j <= i + offset.
  BOOST_TEST(AttentionMask::causal(4).keys_of(3, 100).end == 8);
}

BOOST_AUTO_TEST_CASE(masked_attention_agrees_with_the_reference) {
  for (const Case& c : cases) {
    check_parity(
        c.name, tolerance, [&](Ops& ops, Operands& o) { forward(ops, o, c); }, in_bfloat16);
    for (const bool add : {false, true}) {
      check_parity(
          std::string(c.name) + (add ? ", gradient added" : ", gradient"), tolerance,
          [&](Ops& ops, Operands& o) {
            forward(ops, o, c);
            backward(ops, o, c, add);
          },
          in_bfloat16);
    }
  }
}

BOOST_AUTO_TEST_CASE(gradients_match_finite_differences) {
  for (const Case& c : {Case{"causal", 1, 4, 6, 3, {2, 1, AttentionMask::causal(2), false}},
                        Case{"before", 2, 5, 5, 2, {2, 2, AttentionMask::before_own_chunk(2), false}}}) {
    GradientCase g;
    g.what = c.name;
    g.forward = [&](Ops& ops, Operands& o) { forward(ops, o, c); };
    g.backward = [&](Ops& ops, Operands& o) { backward(ops, o, c, false); };
    g.output = "out";
    g.cotangent = "dout";
    g.gradients = {{"q", "dq"}, {"k", "dk"}, {"v", "dv"}};
    check_gradient(g);
  }
}

/// Keys cut in two at `cut`: two attentions, merged.
void forward_in_parts(Ops& ops, Operands& o, const Case& c, std::int64_t cut) {
  const Tensors in = inputs(o, c);
  const std::int64_t wide = c.form.heads * c.width;
  const auto part = [&](const Tensor& t, std::int64_t begin, std::int64_t end) { return t.rows(begin, end); };
  const Tensor out_a = o.output("out_a", {c.n, c.queries, wide}), out_b = o.output("out_b", {c.n, c.queries, wide});
  const Tensor a = o.precise_output("sums_a", {c.n, c.form.heads, c.queries});
  const Tensor b = o.precise_output("sums_b", {c.n, c.form.heads, c.queries});
  // One sample, so that keys are rows.
  const Tensor k(in.k.data, in.k.dtype, {c.keys, c.form.kv_heads * c.width});
  ops.attention_forward(out_a, a, in.q, part(k, 0, cut), part(in.v, 0, cut), c.form);
  ops.attention_forward(out_b, b, in.q, part(k, cut, c.keys), part(in.v, cut, c.keys), c.form);
  ops.attention_merge(o.output("out", {c.n, c.queries, wide}),
                      o.precise_output("log_sum_exp", {c.n, c.form.heads, c.queries}), out_a, a, out_b, b);
}

BOOST_AUTO_TEST_CASE(merged_parts_are_the_whole) {
  const Case c{"merge", 1, 9, 9, 8, {4, 2, {}, false}};
  check_parity(
      "attention in parts", tolerance, [&](Ops& ops, Operands& o) { forward_in_parts(ops, o, c, 5); }, in_bfloat16);
  for_each_implementation([&](Ops& ops, Operands& o) {
    forward(ops, o, c);
    const auto out = o.read("out"), sums = o.read("log_sum_exp");
    backward(ops, o, c, false);
    const auto dq = o.read("dq"), dk = o.read("dk"), dv = o.read("dv");
    for (const std::int64_t cut : {1, 5, 8}) {
      forward_in_parts(ops, o, c, cut);
      check_values(ops, o, "out", out, 2e-6);
      check_values(ops, o, "log_sum_exp", sums, 2e-6);
      // The gradient of each part by the merged out and sums: its keys' is complete, the queries' adds up.
      const Tensors in = inputs(o, c);
      const std::int64_t wide = c.form.heads * c.width, narrow = c.form.kv_heads * c.width;
      const Tensor part_dq = o.output("part dq", {c.queries, wide});
      const Tensor part_dk = o.output("part dk", {c.keys, narrow}), part_dv = o.output("part dv", {c.keys, narrow});
      const Tensor k(in.k.data, in.k.dtype, {c.keys, narrow});
      AttentionForm form = c.form;
      form.merged = true;
      for (const bool first : {true, false}) {
        const std::int64_t begin = first ? 0 : cut, end = first ? cut : c.keys;
        ops.attention_backward(part_dq, part_dk.rows(begin, end), part_dv.rows(begin, end),
                               o.input("dout", {c.n, c.queries, wide}), o.input("out", {c.n, c.queries, wide}),
                               o.precise_input("log_sum_exp", {c.n, c.form.heads, c.queries}), in.q, k.rows(begin, end),
                               in.v.rows(begin, end), form, first ? GradientWrite::replace : GradientWrite::add,
                               GradientWrite::replace);
      }
      check_values(ops, o, "part dq", dq, 4e-6);
      check_values(ops, o, "part dk", dk, 4e-6);
      check_values(ops, o, "part dv", dv, 4e-6);
    }
  });
}

BOOST_AUTO_TEST_CASE(a_part_of_all_keys_of_a_sample_knows_the_other_part) {
  // As many keys in this part as queries: the same call as a sample's among itself, but for form.merged.
  for_each_implementation([&](Ops& ops, Operands& o) {
    const Tensor one = o.input("one", {2, 1}, list({1, 1})), sums = o.precise_input("sums", {1, 1, 2}, constant(3));
    const Tensor out = o.input("merged", {2, 1}, list({5, 7}));
    // q = 0: every score is 0, p = exp(-3); dp = v = 1; ds = p (1 - dout out) = -4 p and -6 p, times k = 1, both keys.
    ops.attention_backward(o.output("dq", {2, 1}), o.output("dk", {2, 1}), o.output("dv", {2, 1}), one, out, sums,
                           o.input("zero", {2, 1}, constant(0)), o.input("keys", {2, 1}, constant(1)),
                           o.input("values", {2, 1}, constant(1)), {1, 1, {}, true}, GradientWrite::replace,
                           GradientWrite::replace);
    const double p = std::exp(-3.0);
    check_values(ops, o, "dq", {-8 * p, -12 * p}, 2e-6);
    check_values(ops, o, "dv", {2 * p, 2 * p}, 2e-6);
  });
}

BOOST_AUTO_TEST_CASE(by_hand) {
  for_each_implementation([](Ops& ops, Operands& o) {
    // Scores 0: each query takes the mean of what it sees. Chunks of 2: the first has none before it.
    const Tensor zero = o.input("zero", {1, 4, 1}, constant(0)), v = o.input("v", {1, 4, 1}, list({2, 4, 6, 8}));
    const auto run = [&](const AttentionMask& mask) {
      ops.attention_forward(o.output("out", {1, 4, 1}), o.precise_output("log_sum_exp", {1, 1, 4}), zero, zero, v,
                            {1, 1, mask, false});
    };
    run(AttentionMask::causal());
    check_values(ops, o, "out", {2, 3, 4, 5});
    check_values(ops, o, "log_sum_exp", {0, std::log(2.0), std::log(3.0), std::log(4.0)});
    run(AttentionMask::own_chunk(2));
    check_values(ops, o, "out", {3, 3, 7, 7});
    run(AttentionMask::before_own_chunk(2));
    check_values(ops, o, "out", {0, 0, 3, 3});
    BOOST_TEST(o.read("log_sum_exp")[0] == -std::numeric_limits<double>::infinity());
    BOOST_TEST(std::abs(o.read("log_sum_exp")[3] - std::log(2.0)) < 1e-6);
    // Merged with the own chunk: up to it. Nothing merged with nothing is nothing.
    const Tensor before = o.output("before", {1, 4, 1}), own = o.output("own", {1, 4, 1});
    const Tensor a = o.precise_output("a", {1, 1, 4}), b = o.precise_output("b", {1, 1, 4});
    ops.attention_forward(before, a, zero, zero, v, {1, 1, AttentionMask::before_own_chunk(2), false});
    ops.attention_forward(own, b, zero, zero, v, {1, 1, AttentionMask::own_chunk(2), false});
    ops.attention_merge(own, b, before, a, own, b);
    check_values(ops, o, "own", {3, 3, 5, 5});
    check_values(ops, o, "b", {std::log(2.0), std::log(2.0), std::log(4.0), std::log(4.0)});
    ops.attention_merge(o.output("nothing", {1, 2, 1}), o.precise_output("of nothing", {1, 1, 2}),
                        before.reshaped({4, 1}).rows(0, 2), a.reshaped({4}).rows(0, 2).reshaped({1, 1, 2}),
                        before.reshaped({4, 1}).rows(0, 2), a.reshaped({4}).rows(0, 2).reshaped({1, 1, 2}));
    check_values(ops, o, "nothing", {0, 0}, 0);
  });
}

BOOST_AUTO_TEST_CASE(key_and_value_heads_serve_their_groups) {
  for_each_implementation([](Ops& ops, Operands& o) {
    // Four heads of queries of one number, two heads of values: 10 and 20.
    const Tensor q = o.input("q", {1, 1, 4}, constant(1)), kv = o.input("k", {1, 1, 2}, constant(1));
    ops.attention_forward(o.output("out", {1, 1, 4}), o.precise_output("log_sum_exp", {1, 4, 1}), q, kv,
                          o.input("v", {1, 1, 2}, list({10, 20})), {4, 2, {}, false});
    check_values(ops, o, "out", {10, 10, 20, 20});
  });
}

}  // namespace
