// Windows: each token at most once per pass, at offsets that vary, and in no two documents at once.

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <set>
#include <vector>

#include "trainer/tasks/tokens/token_windows.hpp"

namespace blocktrain::trainer {
namespace {

constexpr std::uint64_t seed = 11;

/// A split of documents of those lengths, one behind the other.
TokenSplit split_of(const std::vector<std::int64_t>& lengths) {
  TokenSplit split;
  std::int64_t place = 0;
  for (const std::int64_t n : lengths) {
    split.pieces.push_back({0, place, n});
    split.places.push_back(place);
    place += n;
  }
  split.places.push_back(place);
  return split;
}

/// How often the windows of a pass have each token of a split.
std::vector<int> seen_in(const TokenWindows& windows, std::int64_t tokens, std::uint64_t pass) {
  std::vector<int> seen(static_cast<std::size_t>(tokens));
  for (std::int64_t w = 0; w < windows.count(); ++w) {
    const std::int64_t begin = windows.begin(w, seed, pass);
    for (std::int64_t t = begin; t < begin + windows.length(); ++t) ++seen.at(static_cast<std::size_t>(t));
  }
  return seen;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_joined_split_has_the_windows_that_every_offset_leaves_room_for) {
  const auto count = [](std::int64_t tokens, std::int64_t length, Split which = Split::train) {
    return TokenWindows(split_of({tokens}), false, length, which).count();
  };
  BOOST_TEST(count(1003854, 64) == 15684);
  BOOST_TEST(count(111540, 64, Split::heldout) == 1742);
  BOOST_TEST(count(9, 10) == 0);
  BOOST_TEST(count(10, 10) == 1);
  BOOST_TEST(count(28, 10) == 1);
  BOOST_TEST(count(29, 10) == 2);
  BOOST_TEST(count(29, 10, Split::heldout) == 2);
  BOOST_TEST(count(30, 10, Split::heldout) == 3);
  BOOST_TEST(count(5, 1) == 5);
}

BOOST_AUTO_TEST_CASE(each_token_at_most_once_per_pass_and_every_token_in_some) {
  for (const auto& [tokens, length] :
       {std::pair{100, 10}, {109, 10}, {105, 10}, {19, 10}, {10, 10}, {13, 10}, {7, 1}}) {
    const TokenWindows windows(split_of({tokens}), false, length, Split::train);
    std::vector<int> in_all(static_cast<std::size_t>(tokens));
    for (std::uint64_t pass = 0; pass < 300; ++pass) {
      const std::vector<int> seen = seen_in(windows, tokens, pass);
      int sum = 0;
      for (std::size_t t = 0; t < seen.size(); ++t) {
        if (seen[t] > 1) BOOST_ERROR("token " << t << " twice in pass " << pass);
        sum += seen[t];
        in_all[t] += seen[t];
      }
      BOOST_TEST(sum == windows.count() * length);
    }
    for (const int n : in_all) BOOST_TEST(n > 0);
  }
}

BOOST_AUTO_TEST_CASE(offsets_are_uniform_over_passes) {
  const TokenWindows windows(split_of({100}), false, 8, Split::train);
  std::vector<int> seen(8);
  constexpr int passes = 8000;
  int farther = 0;
  for (std::uint64_t pass = 0; pass < passes; ++pass) {
    const std::int64_t offset = windows.begin(0, seed, pass);
    ++seen.at(static_cast<std::size_t>(offset % 8));
    farther += offset >= 8 ? 1 : 0;
    BOOST_TEST(offset <= 12);  // 11 windows leave room for that
  }
  BOOST_TEST(std::abs(farther - passes * 5 / 16) < 6 * std::sqrt(passes / 4.0));  // half of the offsets 0 to 4
  for (const int n : seen) BOOST_TEST(std::abs(n - passes / 8) < 6 * std::sqrt(passes / 8.0));
  // Keyed by the seed, and by all 64 bits of the pass.
  const auto first = [&](std::uint64_t with_seed, std::uint64_t pass) { return windows.begin(0, with_seed, pass); };
  int other_seed = 0, far = 0;
  for (std::uint64_t pass = 0; pass < 100; ++pass) {
    BOOST_TEST(first(seed, pass) == first(seed, pass));
    other_seed += first(seed, pass) != first(seed + (std::uint64_t{1} << 32), pass) ? 1 : 0;
    far += first(seed, pass) != first(seed, pass + (std::uint64_t{1} << 32)) ? 1 : 0;
  }
  BOOST_TEST(other_seed > 50);
  BOOST_TEST(far > 50);
}

BOOST_AUTO_TEST_CASE(offsets_of_a_seed_stay_what_they_are) {
  // Runs that were begun with them are resumed with them: Philox4x32-10 of (0, 0, pass, 16 << 24) with the key (11, 0).
  const TokenWindows windows(split_of({1000}), false, 64, Split::train);
  std::vector<std::int64_t> offsets;
  for (std::uint64_t pass = 0; pass < 6; ++pass) offsets.push_back(windows.begin(0, seed, pass));
  const std::vector<std::int64_t> expected{7, 38, 75, 2, 45, 30};
  BOOST_TEST(offsets == expected, boost::test_tools::per_element());
  for (std::uint64_t pass = 0; pass < 6; ++pass) BOOST_TEST(windows.begin(5, seed, pass) == offsets[pass] + 5 * 64);
}

BOOST_AUTO_TEST_CASE(documents_apart_share_no_window) {
  const std::vector<std::int64_t> lengths{25, 3, 10, 9, 40, 17};
  const TokenSplit split = split_of(lengths);
  const TokenWindows windows(split, true, 10, Split::train);
  BOOST_TEST(windows.count() == 2 + 1 + 4 + 1);
  BOOST_TEST(windows.short_stretches() == 2);
  BOOST_TEST(windows.short_tokens() == 12);
  std::set<std::int64_t> of_first;
  for (std::uint64_t pass = 0; pass < 200; ++pass) {
    for (std::int64_t w = 0; w < windows.count(); ++w) {
      const std::int64_t begin = windows.begin(w, seed, pass);
      const auto document = std::upper_bound(split.places.begin(), split.places.end(), begin) - split.places.begin();
      BOOST_TEST(begin + 10 <= split.places[static_cast<std::size_t>(document)]);
    }
    of_first.insert(windows.begin(0, seed, pass));
    for (const int n : seen_in(windows, split.tokens(), pass)) BOOST_TEST(n <= 1);
  }
  BOOST_TEST(of_first.size() == 6u);  // 25 tokens leave 0 to 5
  // Documents have offsets of their own.
  int differ = 0;
  for (std::uint64_t pass = 0; pass < 100; ++pass) {
    differ += windows.begin(0, seed, pass) != windows.begin(7, seed, pass) - split.places[5] ? 1 : 0;
  }
  BOOST_TEST(differ > 50);
  const TokenWindows heldout(split, true, 10, Split::heldout);
  BOOST_TEST(heldout.count() == 8);
  BOOST_TEST(heldout.begin(0) == 0);
  BOOST_TEST(heldout.begin(2) == 28);
  BOOST_TEST(heldout.begin(7) == 87);
}

BOOST_AUTO_TEST_CASE(long_documents_give_up_a_window) {
  const auto count = [](std::int64_t tokens) {
    return TokenWindows(split_of({tokens}), true, 10, Split::train).count();
  };
  BOOST_TEST(count(159) == 15);
  BOOST_TEST(count(160) == 15);
  BOOST_TEST(count(169) == 16);
  BOOST_TEST(TokenWindows(split_of({160}), true, 10, Split::heldout).count() == 16);
  const TokenWindows windows(split_of({160}), true, 10, Split::train);
  std::set<std::int64_t> offsets;
  for (std::uint64_t pass = 0; pass < 300; ++pass) offsets.insert(windows.begin(0, seed, pass));
  BOOST_TEST(offsets.size() == 11u);
}

BOOST_AUTO_TEST_CASE(distinct_tokens_are_those_that_were_seen) {
  for (const bool apart : {false, true}) {
    for (const std::vector<std::int64_t>& lengths : {std::vector<std::int64_t>{57},
                                                     {45},
                                                     {10},
                                                     {14},
                                                     {27},
                                                     {29},
                                                     {38},
                                                     {25, 3, 10, 40, 17},
                                                     {20, 20},
                                                     {12, 165}}) {
      const TokenSplit split = split_of(lengths);
      const TokenWindows windows(split, apart, 10, Split::train);
      const SampleOrder order(seed, windows.count());
      std::set<std::int64_t> seen;
      for (std::int64_t visits = 0; visits < 12 * windows.count(); ++visits) {
        BOOST_TEST(windows.distinct_tokens(order, visits) == static_cast<std::int64_t>(seen.size()));
        const SampleOrder::Visit visit = order.at(static_cast<std::uint64_t>(visits));
        const std::int64_t begin = windows.begin(visit.index, seed, visit.pass);
        for (std::int64_t t = begin; t < begin + 10; ++t) seen.insert(t);
      }
    }
  }
}

}  // namespace blocktrain::trainer
