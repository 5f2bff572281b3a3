// Every epoch is a permutation, all permutations are about equally likely, and seeds and epochs differ.

#include "trainer/data/sample_order.hpp"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <vector>

namespace blocktrain::trainer {
namespace {

std::vector<std::int64_t> epoch_of(const SampleOrder& order, std::uint64_t epoch) {
  const auto count = static_cast<std::uint64_t>(order.count());
  std::vector<std::int64_t> indices(count);
  for (std::uint64_t i = 0; i < count; ++i) indices[i] = order.index(epoch * count + i);
  return indices;
}

/// Chi-squared of `seen` against equal expectation, in standard deviations above its mean (cells - 1).
double chi_squared_excess(const std::vector<double>& seen) {
  const double expected = std::accumulate(seen.begin(), seen.end(), 0.0) / static_cast<double>(seen.size());
  double sum = 0;
  for (const double n : seen) sum += (n - expected) * (n - expected) / expected;
  const double freedom = static_cast<double>(seen.size()) - 1;
  return (sum - freedom) / std::sqrt(2 * freedom);
}

/// How far the orders of `count` samples are from all count! being equally likely, over `epochs` epochs.
double order_excess(const std::function<std::int64_t(std::uint64_t)>& index, std::uint64_t count,
                    std::uint64_t epochs) {
  std::vector<std::int64_t> p(count);
  std::iota(p.begin(), p.end(), 0);
  std::map<std::vector<std::int64_t>, std::size_t> place;
  do {
    place.emplace(p, place.size());
  } while (std::next_permutation(p.begin(), p.end()));
  std::vector<double> seen(place.size());
  for (std::uint64_t e = 0; e < epochs; ++e) {
    for (std::uint64_t i = 0; i < count; ++i) p[i] = index(e * count + i);
    ++seen[place.at(p)];
  }
  return chi_squared_excess(seen);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(sample_order)

BOOST_AUTO_TEST_CASE(a_position_has_a_pass_and_a_sample_its_place_in_it) {
  for (const std::int64_t count : {1, 2, 3, 5, 16, 97, 1797, 60000}) {
    const SampleOrder order(42, count);
    const auto n = static_cast<std::uint64_t>(count);
    for (const std::uint64_t pass : {std::uint64_t{0}, std::uint64_t{3}, (std::uint64_t{1} << 33) + 1}) {
      for (std::uint64_t i = 0; i < n; i += 1 + n / 50) {
        const SampleOrder::Visit visit = order.at(pass * n + i);
        BOOST_TEST(visit.pass == pass);
        BOOST_TEST(visit.index == order.index(pass * n + i));
        BOOST_TEST(order.place(pass, visit.index) == static_cast<std::int64_t>(i));
      }
    }
  }
  BOOST_CHECK_THROW(SampleOrder(42, 5).place(0, 5), std::logic_error);
  BOOST_CHECK_THROW(SampleOrder(42, 5).place(0, -1), std::logic_error);
}

BOOST_AUTO_TEST_CASE(every_epoch_visits_each_sample_once) {
  for (const std::int64_t count : {1, 2, 3, 4, 5, 10, 16, 97, 100, 101, 1797, 60000}) {
    const SampleOrder order(42, count);
    for (const std::uint64_t epoch : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{7}, std::uint64_t{1} << 33}) {
      std::vector<std::int64_t> seen = epoch_of(order, epoch);
      std::ranges::sort(seen);
      std::vector<std::int64_t> all(static_cast<std::size_t>(count));
      std::iota(all.begin(), all.end(), 0);
      BOOST_TEST((seen == all));
    }
  }
}

BOOST_AUTO_TEST_CASE(the_largest_count_stays_in_range) {
  const SampleOrder order(3, 0x7fffffff);
  for (std::uint64_t position = 0; position < 10000; ++position) {
    const std::int64_t i = order.index(position * 123456789123ull);
    BOOST_TEST((i >= 0 && i < 0x7fffffff));
  }
  BOOST_CHECK_THROW(SampleOrder(3, 0), std::logic_error);
  BOOST_CHECK_THROW(SampleOrder(3, std::int64_t{1} << 31), std::logic_error);
}

BOOST_AUTO_TEST_CASE(epochs_and_seeds_differ) {
  const SampleOrder order(1, 1797);
  const auto first = epoch_of(order, 0);
  const auto agreeing = [&](const std::vector<std::int64_t>& other) {
    return std::inner_product(first.begin(), first.end(), other.begin(), 0, std::plus<>(), std::equal_to<>());
  };
  BOOST_TEST(agreeing(epoch_of(SampleOrder(1, 1797), 0)) == 1797);
  // Two random orders agree in one place on average (Poisson); 10 would be one in ten million.
  BOOST_TEST(agreeing(epoch_of(order, 1)) < 10);
  BOOST_TEST(agreeing(epoch_of(order, std::uint64_t{1} << 32)) < 10);
  BOOST_TEST(agreeing(epoch_of(SampleOrder(2, 1797), 0)) < 10);
  BOOST_TEST(agreeing(epoch_of(SampleOrder(1 + (std::uint64_t{1} << 32), 1797), 0)) < 10);
}

BOOST_AUTO_TEST_CASE(the_order_of_a_seed_stays_what_it_is) {
  // Computed apart, from the definition: runs that were begun with it are resumed with it.
  const auto from = [](const SampleOrder& order, std::uint64_t position, std::uint64_t many) {
    std::vector<std::int64_t> indices;
    for (std::uint64_t i = 0; i < many; ++i) indices.push_back(order.index(position + i));
    return indices;
  };
  const SampleOrder small(7, 60), large((std::uint64_t{1} << 40) + 3, 50000);
  const std::uint64_t late_epoch = (std::uint64_t{1} << 33) + 9;
  BOOST_TEST(from(small, 0, 12) == (std::vector<std::int64_t>{34, 32, 11, 41, 33, 13, 56, 52, 54, 7, 47, 23}));
  BOOST_TEST(from(small, 5 * 60, 4) == (std::vector<std::int64_t>{46, 54, 44, 12}));
  BOOST_TEST(from(large, 0, 4) == (std::vector<std::int64_t>{8990, 31199, 29342, 30242}));
  BOOST_TEST(from(large, late_epoch * 50000, 4) == (std::vector<std::int64_t>{36731, 28668, 47330, 42149}));
}

BOOST_AUTO_TEST_CASE(small_sets_come_in_every_order_equally_often) {
  for (const std::uint64_t count : {2u, 3u, 4u, 5u}) {
    const SampleOrder order(11, static_cast<std::int64_t>(count));
    const auto index = [&](std::uint64_t position) { return order.index(position); };
    BOOST_TEST(order_excess(index, count, 24000) < 4.5, "count " << count);
  }
  // The same measure finds an order that only rotates, and one that is a little off.
  const SampleOrder order(11, 4);
  const auto rotated = [&](std::uint64_t p) {
    return static_cast<std::int64_t>((p + static_cast<std::uint64_t>(order.index(p / 4 * 4))) % 4);
  };
  BOOST_TEST(order_excess(rotated, 4, 24000) > 100);
  const auto sometimes_unshuffled = [&](std::uint64_t p) {
    return p / 4 % 50 == 0 ? static_cast<std::int64_t>(p % 4) : order.index(p);
  };
  BOOST_TEST(order_excess(sometimes_unshuffled, 4, 24000) > 4.5);
}

BOOST_AUTO_TEST_CASE(every_place_gets_every_sample_equally_often) {
  for (const std::uint64_t count : {10u, 97u}) {
    const SampleOrder order(5, static_cast<std::int64_t>(count));
    std::vector<double> pairs(count * count);
    std::vector<double> steps(count);  // distance between neighbours in the order: 1 to count - 1
    for (std::uint64_t e = 0; e < 5000; ++e) {
      const auto indices = epoch_of(order, e);
      for (std::uint64_t i = 0; i < count; ++i) ++pairs[i * count + static_cast<std::uint64_t>(indices[i])];
      for (std::uint64_t i = 1; i < count; ++i) {
        ++steps[(static_cast<std::uint64_t>(indices[i]) + count - static_cast<std::uint64_t>(indices[i - 1])) % count];
      }
    }
    BOOST_TEST(chi_squared_excess(pairs) < 4.5);
    BOOST_TEST(steps[0] == 0);
    steps.erase(steps.begin());
    BOOST_TEST(chi_squared_excess(steps) < 4.5);
  }
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace blocktrain::trainer
