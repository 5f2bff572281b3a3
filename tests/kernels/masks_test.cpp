#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "tests/kernels/cuda_case.hpp"
#include "tests/kernels/op_case.hpp"

using namespace blocktrain::kernels;
using namespace blocktrain::kernels::testing;

namespace {

const RandomKey of_levels{2024, Purpose::sigma, 1}, of_positions{2024, Purpose::noise, 1};
constexpr std::int32_t mask = 900;

SigmaInterval interval(double lo, double hi) {
  SigmaInterval i;
  i.lo = lo;
  i.hi = hi;
  return i;
}

/// Samples, tokens and levels of a sample.
struct Shape {
  std::int64_t samples, tokens, levels;
};
const std::vector<Shape> shapes{{1, 1, 1}, {3, 17, 1}, {2, 70, 7}, {5, 256, 1}, {2, 1003, 1}, {3, 520, 2}};

/// Numbers of masked tokens from one to all of a chunk.
Tensor levels(Operands& o, const Shape& s) {
  const std::int64_t chunk = s.tokens / s.levels;
  return o.precise_input("level", {s.samples, s.levels}, [=](std::int64_t e, double) {
    return static_cast<double>(1 + e * 37 % chunk) / static_cast<double>(chunk);
  });
}
Tensor tokens(Operands& o, const Shape& s) {
  return o.labels("tokens", s.samples * s.tokens, mask).reshaped({s.samples, s.tokens});
}
Tensor masked(Ops& ops, Operands& o, const Shape& s, std::uint32_t first_sample = 40) {
  const Tensor noisy = o.label_output("noisy", s.samples * s.tokens).reshaped({s.samples, s.tokens});
  o.state.step = 5;
  ops.mask_tokens(noisy, tokens(o, s), levels(o, s), mask, of_positions, &o.state, first_sample);
  return noisy;
}
void list_all(Ops& ops, Operands& o, const Shape& s, std::int64_t room) {
  const Tensor noisy = masked(ops, o, s);
  ops.list_masked(o.label_output("rows", room), o.label_output("labels", room), o.precise_output("weights", {room}),
                  o.label_output("places", s.samples * s.tokens).reshaped({s.samples, s.tokens}), noisy, tokens(o, s),
                  levels(o, s), mask);
}

BOOST_AUTO_TEST_CASE(levels_agree_with_the_reference) {
  for (const Shape& s : shapes) {
    for (const auto& [lo, hi] : std::vector<std::pair<double, double>>{{0, 1}, {0.4, 0.7}}) {
      const auto n = static_cast<double>(s.tokens);
      const double from = std::floor(lo * n) / n, to = (std::floor(lo * n) + std::ceil((hi - lo) * n)) / n;
      // Rounded to float32 once: half a bit.
      check_parity("draw_mask_levels", 6e-8, [&](Ops& ops, Operands& o) {
        o.state.step = 9;
        ops.draw_mask_levels(o.precise_output("level", {s.samples, s.levels}), o.interval(interval(from, to)), s.tokens,
                             of_levels, &o.state, 2, s.samples + 4);
      });
    }
  }
}

BOOST_AUTO_TEST_CASE(masks_and_their_lists_agree_with_the_reference) {
  for (const Shape& s : shapes) {
    check_parity("mask_tokens", 0, [&](Ops& ops, Operands& o) { masked(ops, o, s); });
    for (const std::int64_t room : {s.samples * s.tokens + 3, std::max<std::int64_t>(1, s.samples * s.tokens / 3)}) {
      check_parity("list_masked", 6e-8, [&](Ops& ops, Operands& o) { list_all(ops, o, s, room); });
    }
    check_parity("sum_listed", 1e-7, [&](Ops& ops, Operands& o) {
      const std::int64_t room = s.samples * s.tokens;
      list_all(ops, o, s, room);
      ops.sum_listed(o.precise_output("out", {s.samples}), o.precise_input("x", {room}),
                     o.precise_input("weights", {room}), o.labels("places", room, 1).reshaped({s.samples, s.tokens}));
    });
  }
}

BOOST_AUTO_TEST_CASE(as_many_samples_as_numbers_of_masks_draw_each_of_them_once) {
  for_each_implementation([](Ops& ops, Operands& o) {
    constexpr std::int64_t count = 96, all = 256, lo = 128;
    for (std::uint32_t step = 0; step < 20; ++step) {
      o.state.step = step;
      ops.draw_mask_levels(o.precise_output("level", {count}), o.interval(interval(0.5, 0.875)), all, of_levels,
                           &o.state, 0, count);
      std::set<std::int64_t> found;
      for (const double level : o.read("level")) found.insert(std::lround(level * all));
      BOOST_TEST(found.size() == count);
      BOOST_TEST(*found.begin() == lo + 1);
      BOOST_TEST(*found.rbegin() == lo + count);
    }
  });
}

BOOST_AUTO_TEST_CASE(levels_depend_on_the_place_in_the_global_batch_alone) {
  for_each_implementation([](Ops& ops, Operands& o) {
    o.state.step = 3;
    const auto drawn = [&](const char* name, std::int64_t count, std::uint32_t first, std::int64_t of) {
      ops.draw_mask_levels(o.precise_output(name, {count}), o.interval(interval(0, 1)), 512, of_levels, &o.state, first,
                           of);
      return o.read(name);
    };
    const std::vector<double> all = drawn("all", 30, 0, 30);
    std::vector<double> parts = drawn("first", 11, 0, 30);
    const std::vector<double> rest = drawn("rest", 19, 11, 30);
    parts.insert(parts.end(), rest.begin(), rest.end());
    BOOST_TEST(parts == all, boost::test_tools::per_element());
    o.state.step = 4;
    BOOST_TEST(drawn("other", 30, 0, 30) != all);
  });
}

BOOST_AUTO_TEST_CASE(exactly_so_many_are_masked_and_those_with_the_smallest_words) {
  for_each_implementation([](Ops& ops, Operands& o) {
    const Shape s{4, 203, 1};
    masked(ops, o, s, 6);
    const std::vector<double> noisy = o.read("noisy"), whole = o.read("tokens"), level = o.read("level");
    for (std::int64_t n = 0; n < s.samples; ++n) {
      std::vector<std::uint32_t> of_masked, of_others;
      for (std::int64_t t = 0; t < s.tokens; ++t) {
        const auto at = static_cast<std::size_t>(n * s.tokens + t);
        const auto words =
            random_words(of_positions, 5, 6 + static_cast<std::uint32_t>(n), static_cast<std::uint32_t>(t / 4));
        (noisy[at] == mask ? of_masked : of_others).push_back(words[static_cast<std::size_t>(t % 4)]);
        if (noisy[at] != mask) BOOST_TEST(noisy[at] == whole[at]);
      }
      BOOST_TEST(static_cast<long>(of_masked.size()) ==
                 std::lround(level[static_cast<std::size_t>(n)] * static_cast<double>(s.tokens)));
      BOOST_TEST(*std::ranges::max_element(of_masked) < *std::ranges::min_element(of_others));
    }
  });
}

BOOST_AUTO_TEST_CASE(by_hand) {
  for_each_implementation([](Ops& ops, Operands& o) {
    // Of the first sample 1 and 2 of 2 tokens are masked, of the second 1 and none.
    const Tensor noisy = o.labels("noisy", {9, 1, 9, 9, 2, 9, 3, 4}).reshaped({2, 4});
    const Tensor all = o.labels("tokens", {5, 1, 6, 7, 2, 8, 3, 4}).reshaped({2, 4});
    const Tensor level = o.precise_input("level", {2, 2}, list({0.5, 1, 0.5, 0.5}));
    const Tensor rows = o.label_output("rows", 6), labels = o.label_output("labels", 6);
    const Tensor weights = o.precise_output("weights", {6}), places = o.label_output("places", 8).reshaped({2, 4});
    ops.list_masked(rows, labels, weights, places, noisy, all, level, 9);
    check_values(ops, o, "rows", {0, 2, 3, 5, -1, -1}, 0);
    check_values(ops, o, "labels", {5, 6, 7, 8, -1, -1}, 0);
    check_values(ops, o, "weights", {0.5, 0.25, 0.25, 0.5, 0, 0});
    check_values(ops, o, "places", {0, -1, 1, 2, -1, 3, -1, -1}, 0);
    const Tensor x = o.precise_input("x", {6}, list({4, 8, 16, 32, 1, 1}));
    ops.sum_listed(o.precise_output("out", {2}), x, weights, places);
    check_values(ops, o, "out", {2 + 2 + 4, 16});
    // Without room the places go on behind the list.
    ops.list_masked(o.label_output("few", 2), o.label_output("few labels", 2), o.precise_output("few weights", {2}),
                    places, noisy, all, level, 9);
    check_values(ops, o, "few", {0, 2}, 0);
    check_values(ops, o, "places", {0, -1, 1, 2, -1, 3, -1, -1}, 0);
  });
}

BOOST_AUTO_TEST_CASE(a_place_outside_the_list_is_refused_or_shows) {
  for_each_implementation([](Ops& ops, Operands& o) {
    if (ops.name() == std::string("cuda")) return;  // its places are not looked at before
    const Tensor out = o.changed("out", {1}), x = o.precise_input("x", {2}), weights = o.precise_input("weights", {2});
    for (const std::int32_t bad : {-2, 2}) {
      const Tensor places = o.labels("places " + std::to_string(bad), {0, bad}).reshaped({1, 2});
      BOOST_CHECK_THROW(ops.sum_listed(out, x, weights, places), std::logic_error);
    }
  });
  if (const auto ops = cuda_ops(DType::float32)) {
    Operands o(*ops);
    const Tensor places = o.labels("places", {0, 2, 0, 1}).reshaped({2, 2});
    ops->sum_listed(o.precise_output("out", {2}), o.precise_input("x", {2}, constant(3)),
                    o.precise_input("weights", {2}, constant(2)), places);
    BOOST_TEST(std::isnan(o.read("out")[0]));
    BOOST_TEST(o.read("out")[1] == 12);
  }
}

}  // namespace
