#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <cmath>

#include "blocks/noise/preconditioning.hpp"
#include "blocks/noise/schedule.hpp"
#include "kernels/error.hpp"
#include "kernels/ops.hpp"
#include "tests/blocks/support.hpp"

BOOST_TEST_DONT_PRINT_LOG_VALUE(blocktrain::blocks::Partition)
BOOST_TEST_DONT_PRINT_LOG_VALUE(blocktrain::blocks::NoiseSampling)

namespace blocktrain::blocks {
namespace {

namespace data = boost::unit_test::data;
const auto partitions = data::make({Partition::equal_probability, Partition::uniform, Partition::uniform_log});
const auto samplings = data::make({NoiseSampling::lognormal, NoiseSampling::uniform_log, NoiseSampling::partition});

NoiseSettings with(Partition partition) {
  NoiseSettings s;
  s.partition = partition;
  return s;
}

}  // namespace

BOOST_AUTO_TEST_CASE(equal_probability_edges_have_the_values_of_the_method) {
  const std::vector<std::vector<double>> inner{
      {0.301200103},
      {0.505041464, 0.179632472},
      {0.676648643, 0.301200103, 0.134076095},
      {0.961665134, 0.505041464, 0.301200103, 0.179632472, 0.0943401356},
  };
  for (const auto& expected : inner) {
    const NoiseSchedule schedule({}, static_cast<int>(expected.size()) + 1);
    BOOST_TEST(schedule.edges().front() == 80.0);
    BOOST_TEST(schedule.edges().back() == 0.002);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      BOOST_TEST(std::abs(schedule.edges()[i + 1] - expected[i]) < 5.1e-10);  // their last digit, rounded
    }
  }
}

BOOST_AUTO_TEST_CASE(uniform_edges_are_equal_steps) {
  const NoiseSchedule uniform(with(Partition::uniform), 4);
  const NoiseSchedule uniform_log(with(Partition::uniform_log), 4);
  const double step = (80 - 0.002) / 4, ratio = std::pow(80 / 0.002, 0.25);
  for (std::size_t b = 0; b < 4; ++b) {
    BOOST_TEST(std::abs(uniform.edges()[b] - uniform.edges()[b + 1] - step) < 1e-12);
    BOOST_TEST(std::abs(uniform_log.edges()[b] / uniform_log.edges()[b + 1] / ratio - 1) < 1e-12);
  }
}

BOOST_AUTO_TEST_CASE(quantiles_hold_in_the_far_tail) {
  // The whole range lies where 1 - Phi is below 1e-15, so that Phi alone would call all of it 1.
  NoiseSettings s;
  s.p_mean = -12;
  s.p_std = 1;
  s.sigma_min = std::exp(-12 + 8.0);
  s.sigma_max = std::exp(-12 + 9.0);
  const NoiseSchedule schedule(s, 2);
  const double lo = std::erfc(8 / std::sqrt(2.0)), hi = std::erfc(9 / std::sqrt(2.0));
  const double middle = std::erfc((std::log(schedule.edges()[1]) + 12) / std::sqrt(2.0));
  BOOST_TEST(std::abs(middle / ((lo + hi) / 2) - 1) < 1e-10);
}

BOOST_DATA_TEST_CASE(every_level_has_one_owner, partitions, partition) {
  const NoiseSchedule schedule(with(partition), 5);
  for (int b = 0; b < 5; ++b) {
    const NoiseRange own = schedule.owned(b);
    BOOST_TEST(schedule.block_of(own.hi) == b);
    BOOST_TEST(schedule.block_of(std::nextafter(own.hi, 0)) == b);
    BOOST_TEST(schedule.block_of(std::nextafter(own.lo, 100)) == b);
    if (b < 4) BOOST_TEST(schedule.block_of(own.lo) == b + 1);
  }
  BOOST_TEST(schedule.block_of(0.002) == 4);
  BOOST_CHECK_THROW(schedule.block_of(std::nextafter(0.002, 0)), std::logic_error);
  BOOST_CHECK_THROW(schedule.block_of(std::nextafter(80, 100)), std::logic_error);
  BOOST_CHECK_THROW(schedule.block_of(std::nan("")), std::logic_error);
}

BOOST_DATA_TEST_CASE(sampling_levels_meet_the_edges_exactly, partitions, partition) {
  for (const int count : {1, 3, 4, 7}) {
    const NoiseSchedule schedule(with(partition), count);
    BOOST_TEST(schedule.sampling_edges(count) == schedule.edges());
    for (const int multiple : {2, 3, 5}) {
      const std::vector<double> levels = schedule.sampling_edges(count * multiple);
      for (int i = 0; i < count * multiple; ++i) {
        BOOST_TEST(levels[static_cast<std::size_t>(i)] > levels[static_cast<std::size_t>(i) + 1]);
        BOOST_TEST(schedule.block_of(levels[static_cast<std::size_t>(i)]) == i / multiple);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(training_intervals_overlap_and_stay_in_range) {
  const NoiseSchedule schedule({}, 3);
  const auto& e = schedule.edges();
  const double reach = std::pow(e[1] / e[2], 0.05);
  BOOST_TEST(schedule.trained(1).hi == e[1] * reach);
  BOOST_TEST(schedule.trained(1).lo == e[2] / reach);
  BOOST_TEST(schedule.trained(0).hi == 80.0);
  BOOST_TEST(schedule.trained(0).lo < e[1]);
  BOOST_TEST(schedule.trained(2).lo == 0.002);
  NoiseSettings apart;
  apart.overlap = 0;
  BOOST_TEST(NoiseSchedule(apart, 3).trained(1).hi == e[1]);
}

BOOST_DATA_TEST_CASE(drawn_levels_are_uniform_in_their_coordinate, partitions* samplings, partition, sampling) {
  const NoiseSchedule schedule(with(partition), 3);
  const auto ops = kernels::make_reference_ops();
  const std::int64_t count = 20000;
  const test::HostTensor sigma(kernels::DType::float64, {count});
  kernels::StepState state;
  for (int b = 0; b < 3; ++b) {
    const kernels::SigmaInterval interval = schedule.training_interval(b, sampling);
    ops->draw_sigma(*sigma, &interval, {1, kernels::Purpose::sigma, static_cast<std::uint32_t>(b)}, &state, 0);
    // Position of each draw in the interval, 0 to 1, by the definition of each coordinate.
    const auto coordinate = [&](double s) {
      const bool normal = sampling == NoiseSampling::lognormal ||
                          (sampling == NoiseSampling::partition && partition == Partition::equal_probability);
      if (normal) return std::erf((std::log(s) + 1.2) / 1.2 / std::sqrt(2.0));
      return sampling == NoiseSampling::partition && partition == Partition::uniform ? s : std::log(s);
    };
    const double lo = coordinate(interval.lo), hi = coordinate(interval.hi);
    double mean = 0, square = 0;
    for (const double s : test::values_of(*sigma)) {
      BOOST_REQUIRE(s >= interval.lo && s <= interval.hi);
      const double u = (coordinate(s) - lo) / (hi - lo);
      mean += u / static_cast<double>(count);
      square += u * u / static_cast<double>(count);
    }
    // Five standard errors of the mean of u and of u^2.
    BOOST_TEST(std::abs(mean - 1.0 / 2) < 5 * 0.2887 / std::sqrt(static_cast<double>(count)));
    BOOST_TEST(std::abs(square - 1.0 / 3) < 5 * 0.2981 / std::sqrt(static_cast<double>(count)));
  }
}

BOOST_AUTO_TEST_CASE(a_share_of_the_first_blocks_draws_is_sigma_max) {
  const NoiseSchedule schedule({}, 2);
  const auto ops = kernels::make_reference_ops();
  const test::HostTensor sigma(kernels::DType::float64, {10000});
  kernels::StepState state;
  for (int b = 0; b < 2; ++b) {
    const auto interval = schedule.training_interval(b, NoiseSampling::lognormal, 0.25);
    ops->draw_sigma(*sigma, &interval, {1, kernels::Purpose::sigma, 0}, &state, 0);
    int at_top = 0;
    for (const double s : test::values_of(*sigma)) at_top += s == interval.hi ? 1 : 0;
    if (b == 0) {
      BOOST_TEST(std::abs(at_top - 2500) < 5 * 43.3);
    } else {
      BOOST_TEST(at_top == 0);
    }
  }
  const kernels::SigmaInterval level = single_level(0.7);
  ops->draw_sigma(*sigma, &level, {1, kernels::Purpose::sigma, 0}, &state, 0);
  for (const double s : test::values_of(*sigma)) BOOST_REQUIRE(s == 0.7);
}

BOOST_AUTO_TEST_CASE(impossible_schedules_are_refused) {
  const auto refused = [](auto change, int count = 4) {
    NoiseSettings s;
    change(s);
    BOOST_CHECK_THROW(NoiseSchedule(s, count), InputError);
  };
  refused([](NoiseSettings& s) { s.sigma_min = 0; });
  NoiseSettings no_range;
  no_range.sigma_min = no_range.sigma_max;
  BOOST_CHECK_EXCEPTION(NoiseSchedule(no_range, 4), InputError, [](const InputError& e) {
    return std::string(e.what()).find("0 < sigma_min < sigma_max") != std::string::npos;
  });
  refused([](NoiseSettings& s) { s.sigma_max = INFINITY; });
  refused([](NoiseSettings& s) { s.sigma_max = std::nan(""); });
  refused([](NoiseSettings& s) { s.p_std = 0; });
  refused([](NoiseSettings& s) { s.p_mean = std::nan(""); });
  refused([](NoiseSettings& s) { s.overlap = -0.1; });
  refused([](NoiseSettings&) {}, 0);
  // All of the log-normal lies far above the range: no probability to share out.
  refused([](NoiseSettings& s) { s.p_mean = 400; });
}

BOOST_AUTO_TEST_CASE(blocks_own_whole_numbers_of_masked_tokens) {
  // Method: section 6: lo = floor(n (B-b-1) / B), K_b = floor(n (B-b) / B) - lo.
  const NoiseSchedule schedule = NoiseSchedule::of_masks(10, 3);
  const std::vector<double> edges{1, 0.6, 0.3, 0};
  BOOST_TEST(schedule.edges() == edges, boost::test_tools::per_element());
  for (std::int64_t n : {1, 2, 7, 64, 1000}) {
    for (int count = 1; count <= std::min<std::int64_t>(n, 9); ++count) {
      const NoiseSchedule all = NoiseSchedule::of_masks(n, count);
      std::int64_t below = n;
      for (int b = 0; b < count; ++b) {
        const std::int64_t lo = n * (count - b - 1) / count, hi = n * (count - b) / count;
        BOOST_TEST_REQUIRE(hi == below);
        BOOST_TEST_REQUIRE(lo < hi);
        const kernels::SigmaInterval interval = all.training_interval(b, NoiseSampling::partition);
        BOOST_TEST_REQUIRE(std::lround(interval.lo * static_cast<double>(n)) == lo);
        BOOST_TEST_REQUIRE(std::lround(interval.hi * static_cast<double>(n)) == hi);
        for (std::int64_t m = lo + 1; m <= hi; ++m) {
          BOOST_TEST_REQUIRE(all.block_of(static_cast<double>(m) / static_cast<double>(n)) == b);
        }
        below = lo;
      }
      BOOST_TEST(below == 0);
    }
  }
  const std::vector<double> steps{1, 0.7, 0.5, 0.2, 0};
  BOOST_TEST(schedule.sampling_edges(4) == steps, boost::test_tools::per_element());
  BOOST_CHECK_EXCEPTION(NoiseSchedule::of_masks(3, 4), InputError, [](const InputError& e) {
    return std::string(e.what()).find("accepted: 1 to 3 blocks") != std::string::npos;
  });
}

BOOST_AUTO_TEST_CASE(preconditioning_has_the_properties_it_is_chosen_for) {
  const double sd = 0.5;
  for (const double s : {0.002, 0.3, 1.0, 80.0}) {
    // The network's input has unit variance, so has its training target (y - c_skip z) / c_out, and errors of F count
    // alike.
    BOOST_TEST(std::abs(c_in(s, sd) * std::sqrt(sd * sd + s * s) - 1) < 1e-14);
    const double skip = c_skip(s, sd), out = c_out(s, sd);
    BOOST_TEST(std::abs(((1 - skip) * (1 - skip) * sd * sd + skip * skip * s * s) / (out * out) - 1) < 1e-10);
    BOOST_TEST(std::abs(out * out * loss_weight(s, sd) - 1) < 1e-14);
  }
  BOOST_TEST(c_noise(1.0) == 0.0);
}

}  // namespace blocktrain::blocks
