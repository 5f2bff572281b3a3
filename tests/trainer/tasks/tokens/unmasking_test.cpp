#include "trainer/tasks/tokens/unmasking.hpp"

#include <algorithm>
#include <array>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "kernels/error.hpp"

namespace blocktrain::trainer {
namespace {

constexpr std::int32_t mask = 4;

/// Logits of probabilities 1/2, 1/4, 1/8, 1/8 for tokens 2, 0, 1, 3.
const std::array<float, 4> logits{std::log(0.25F), std::log(0.125F), std::log(0.5F), std::log(0.125F)};

std::vector<float> rows_of(std::size_t places) {
  std::vector<float> rows;
  for (std::size_t i = 0; i < places; ++i) rows.insert(rows.end(), logits.begin(), logits.end());
  return rows;
}

std::int64_t masks_in(const std::vector<std::int32_t>& tokens) { return std::ranges::count(tokens, mask); }

}  // namespace

BOOST_AUTO_TEST_SUITE(unmasking)

BOOST_AUTO_TEST_CASE(a_token_is_drawn_where_its_share_of_the_unit_interval_lies) {
  TokenDraw all(1, 1);
  const std::vector<std::pair<double, std::int32_t>> expected{{0.01, 0}, {0.24, 0}, {0.26, 1}, {0.37, 1},
                                                              {0.38, 2}, {0.87, 2}, {0.88, 3}, {0.999999, 3}};
  for (const auto& [uniform, token] : expected) {
    const TokenDraw::Drawn drawn = all.draw(logits, uniform);
    BOOST_TEST(drawn.token == token);
    BOOST_TEST(drawn.probability == std::exp(static_cast<double>(logits[static_cast<std::size_t>(token)])),
               boost::test_tools::tolerance(1e-7));
  }
}

BOOST_AUTO_TEST_CASE(temperature_sharpens_and_top_p_cuts) {
  TokenDraw cold(0, 1), cool(0.5, 1), half(1, 0.5), most(1, 0.7);
  // At temperature 1/2 the probabilities are as 16 : 4 : 1 : 1.
  const std::vector<std::pair<double, std::int32_t>> cooled{{0.17, 0}, {0.19, 1}, {0.23, 2}, {0.95, 2}, {0.96, 3}};
  for (const auto& [uniform, token] : cooled) BOOST_TEST(cool.draw(logits, uniform).token == token);
  for (const double uniform : {0.001, 0.3, 0.999}) {
    BOOST_TEST(cold.draw(logits, uniform).token == 2);
    BOOST_TEST(half.draw(logits, uniform).token == 2);
    BOOST_TEST(most.draw(logits, uniform).token == (uniform < 2.0 / 3 ? 2 : 0));
    BOOST_TEST(most.draw(logits, uniform).probability == (uniform < 2.0 / 3 ? 0.5 : 0.25),
               boost::test_tools::tolerance(1e-7));
  }
}

BOOST_AUTO_TEST_CASE(what_is_no_number_is_no_distribution) {
  std::array<float, 4> broken = logits;
  for (const float value : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    broken[1] = value;
    for (const double temperature : {0.0, 1.0}) {
      BOOST_CHECK_THROW(TokenDraw(temperature, 1).draw(broken, 0.5), RunError);
    }
  }
}

BOOST_AUTO_TEST_CASE(so_many_masks_become_tokens_and_nothing_else_changes) {
  const std::vector<float> rows = rows_of(10);
  for (const UnmaskingOrder order : {UnmaskingOrder::chance, UnmaskingOrder::confidence}) {
    std::vector<std::int32_t> tokens(10, mask);
    tokens[3] = 1;
    tokens[9] = 0;
    UnmaskingSettings settings;
    settings.order = order;
    std::int64_t left = 8;
    for (const std::int64_t count : {0, 3, 1, 4}) {
      const std::vector<std::int32_t> before = tokens;
      unmask(tokens, rows, mask, count, settings, 7, 0);
      left -= count;
      BOOST_TEST(masks_in(tokens) == left);
      for (std::size_t i = 0; i < tokens.size(); ++i) {
        if (before[i] != mask) BOOST_TEST(tokens[i] == before[i]);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(the_surest_come_first_by_confidence) {
  std::vector<float> rows(3 * 4, 0.0F);  // all alike, but for the second place
  rows[4 + 1] = 5;
  rows[8 + 3] = 4;
  UnmaskingSettings settings;
  settings.temperature = 0;
  settings.order = UnmaskingOrder::confidence;
  std::vector<std::int32_t> tokens(3, mask);
  unmask(tokens, rows, mask, 1, settings, 0, 0);
  const std::vector<std::int32_t> first{mask, 1, mask};
  BOOST_TEST(tokens == first, boost::test_tools::per_element());
  unmask(tokens, rows, mask, 1, settings, 0, 1);
  const std::vector<std::int32_t> second{mask, 1, 3};
  BOOST_TEST(tokens == second, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(draws_are_keyed_by_seed_sample_and_step) {
  const std::vector<float> rows = rows_of(64);
  const auto drawn = [&](std::uint64_t seed, std::uint32_t sample, std::uint32_t step) {
    UnmaskingSettings settings;
    settings.seed = seed;
    std::vector<std::int32_t> tokens(64, mask);
    unmask(tokens, rows, mask, 40, settings, sample, step);
    return tokens;
  };
  const auto first = drawn(1, 2, 3);
  BOOST_TEST(first == drawn(1, 2, 3), boost::test_tools::per_element());
  BOOST_TEST((first != drawn(2, 2, 3)));
  BOOST_TEST((first != drawn(1, 3, 3)));
  BOOST_TEST((first != drawn(1, 2, 4)));
}

BOOST_AUTO_TEST_CASE(places_and_tokens_have_their_shares) {
  const std::vector<float> rows = rows_of(8);
  std::array<int, 4> tokens_drawn{};
  std::array<int, 8> places{};
  constexpr int samples = 4000;
  for (int sample = 0; sample < samples; ++sample) {
    std::vector<std::int32_t> tokens(8, mask);
    unmask(tokens, rows, mask, 2, {}, static_cast<std::uint32_t>(sample), 0);
    for (std::size_t i = 0; i < 8; ++i) {
      if (tokens[i] == mask) continue;
      ++places[i];
      ++tokens_drawn[static_cast<std::size_t>(tokens[i])];
    }
  }
  // Within five standard deviations.
  const std::array<double, 4> shares{0.25, 0.125, 0.5, 0.125};
  for (std::size_t t = 0; t < 4; ++t) {
    BOOST_TEST(std::abs(tokens_drawn[t] - 2 * samples * shares[t]) < 5 * std::sqrt(2 * samples * shares[t]));
  }
  for (const int n : places) BOOST_TEST(std::abs(n - samples / 4.0) < 5 * std::sqrt(samples / 4.0));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace blocktrain::trainer
