#include "blocks/noise/schedule.hpp"

#include <algorithm>
#include <boost/math/special_functions/erf.hpp>
#include <cmath>
#include <numbers>
#include <sstream>
#include <string>

#include "blocks/noise/equal_information.hpp"
#include "blocks/noise/mask_levels.hpp"
#include "kernels/error.hpp"

namespace blocktrain::blocks {
namespace {

/// A probability with its complement; near 1 only the complement still tells values apart.
struct Probability {
  double lower, upper;
};

Probability normal_cdf(double x) {
  return {0.5 * std::erfc(-x / std::numbers::sqrt2), 0.5 * std::erfc(x / std::numbers::sqrt2)};
}

double normal_quantile(const Probability& p) {
  // Without exceptions: a probability of 0 gives an infinite quantile, which the constructor finds in the edges.
  namespace policies = boost::math::policies;
  using Quiet = policies::policy<policies::overflow_error<policies::ignore_error>,
                                 policies::domain_error<policies::ignore_error>>;
  return p.lower <= 0.5 ? -std::numbers::sqrt2 * boost::math::erfc_inv(2 * p.lower, Quiet())
                        : std::numbers::sqrt2 * boost::math::erfc_inv(2 * p.upper, Quiet());
}

double standardised(const NoiseSettings& s, double sigma) { return (std::log(sigma) - s.p_mean) / s.p_std; }

InformationCurve curve_of(const NoiseSettings& s) { return {s.information, s.sigma_min, s.sigma_max}; }

/// The level at `fraction` of the way from sigma_max (0) to sigma_min (1) in the partition's coordinate.
double level_at(const NoiseSettings& s, double fraction) {
  const auto between = [fraction](double from, double to) { return from + fraction * (to - from); };
  switch (s.partition) {
    case Partition::uniform:
      return between(s.sigma_max, s.sigma_min);
    case Partition::uniform_log:
      return std::exp(between(std::log(s.sigma_max), std::log(s.sigma_min)));
    case Partition::equal_information: {
      const InformationCurve curve = curve_of(s);
      return curve.sigma_at(between(curve.entropy.back(), curve.entropy.front()));
    }
    case Partition::equal_probability:
      break;
  }
  const Probability top = normal_cdf(standardised(s, s.sigma_max));
  const Probability bottom = normal_cdf(standardised(s, s.sigma_min));
  const Probability q{between(top.lower, bottom.lower), between(top.upper, bottom.upper)};
  return std::exp(s.p_mean + s.p_std * normal_quantile(q));
}

std::vector<double> levels(const NoiseSettings& s, int steps) {
  std::vector<double> out(static_cast<std::size_t>(steps) + 1);
  if (s.masked_tokens > 0) {
    const auto n = static_cast<double>(s.masked_tokens);
    for (int i = 0; i <= steps; ++i) {
      out[static_cast<std::size_t>(i)] = static_cast<double>(mask_counts(s.masked_tokens, i, steps).most()) / n;
    }
    return out;
  }
  out.front() = s.sigma_max;
  out.back() = s.sigma_min;
  // The fraction is rounded once, so k/n and (k*m)/(n*m) are the same level, bit for bit.
  for (int i = 1; i < steps; ++i) out[static_cast<std::size_t>(i)] = level_at(s, static_cast<double>(i) / steps);
  return out;
}

void check(const NoiseSettings& s, int count) {
  std::ostringstream what;
  what.precision(17);
  if (s.masked_tokens > 0) {
    if (count >= 1 && count <= s.masked_tokens) return;
    what << "masks of " << s.masked_tokens << " tokens cannot be shared out among " << count
         << " blocks: each needs a number of masked tokens of its own; accepted: 1 to " << s.masked_tokens << " blocks";
  } else if (!(s.sigma_min > 0 && s.sigma_min < s.sigma_max && std::isfinite(s.sigma_max))) {
    what << "noise levels need 0 < sigma_min < sigma_max; found sigma_min " << s.sigma_min << ", sigma_max "
         << s.sigma_max;
  } else if (!(s.p_std > 0 && std::isfinite(s.p_std) && std::isfinite(s.p_mean))) {
    what << "the log-normal of noise levels needs a finite p_mean and p_std above 0; found p_mean " << s.p_mean
         << ", p_std " << s.p_std;
  } else if (!(s.overlap >= 0 && std::isfinite(s.overlap))) {
    what << "the overlap of noise intervals has to be 0 or more; found " << s.overlap;
  } else if (count < 1) {
    what << "the number of blocks has to be 1 or more; found " << count;
  } else {
    return;
  }
  throw InputError(what.str());
}

kernels::SigmaCoordinate coordinate_of(NoiseSampling sampling, Partition partition) {
  using kernels::SigmaCoordinate;
  if (sampling == NoiseSampling::lognormal) return SigmaCoordinate::normal;
  if (sampling == NoiseSampling::uniform_log) return SigmaCoordinate::log_sigma;
  switch (partition) {
    case Partition::uniform:
      return SigmaCoordinate::sigma;
    case Partition::uniform_log:
      return SigmaCoordinate::log_sigma;
    case Partition::equal_information:
      return SigmaCoordinate::table;
    case Partition::equal_probability:
      break;
  }
  return SigmaCoordinate::normal;
}

}  // namespace

NoiseSchedule::NoiseSchedule(const NoiseSettings& settings, int count) : settings_(settings) {
  check(settings, count);
  BLOCKTRAIN_EXPECTS(settings.partition != Partition::equal_information || settings.information.size() >= 2);
  edges_ = levels(settings, count);
  // Written so that NaN counts as wrong too.
  const bool falling =
      std::adjacent_find(edges_.begin(), edges_.end(), [](double a, double b) { return !(a > b); }) == edges_.end();
  if (!falling && settings.partition == Partition::equal_information) {
    throw InputError("noise.partition equal_information cannot cut the noise from " +
                     std::to_string(settings.sigma_min) + " to " + std::to_string(settings.sigma_max) + " into " +
                     std::to_string(count) +
                     " blocks; take fewer blocks, or a range in which noise hides more of the target");
  }
  if (!falling) {
    throw InputError(
        "the noise range cannot be cut into " + std::to_string(count) +
        " blocks: the log-normal given by p_mean and p_std has too little probability between sigma_min and "
        "sigma_max; take fewer blocks, another p_mean or p_std, or the partition uniform_log");
  }
}

NoiseSchedule NoiseSchedule::of_masks(std::int64_t tokens, int count) {
  BLOCKTRAIN_EXPECTS(tokens >= 1);
  NoiseSettings settings;
  settings.sigma_min = 0;
  settings.sigma_max = 1;
  settings.overlap = 0;
  settings.masked_tokens = tokens;
  return {settings, count};
}

int NoiseSchedule::block_of(double sigma) const {
  BLOCKTRAIN_EXPECTS(sigma >= settings_.sigma_min && sigma <= settings_.sigma_max);
  // The inner edges at or above sigma: block b starts at sigma^(b) inclusive.
  const auto owner = std::partition_point(edges_.begin() + 1, edges_.end() - 1, [&](double e) { return e >= sigma; });
  return static_cast<int>(owner - (edges_.begin() + 1));
}

NoiseRange NoiseSchedule::owned(int b) const {
  BLOCKTRAIN_EXPECTS(b >= 0 && b < count());
  return {edges_[static_cast<std::size_t>(b) + 1], edges_[static_cast<std::size_t>(b)]};
}

NoiseRange NoiseSchedule::trained(int b) const {
  const NoiseRange own = owned(b);
  if (settings_.masked_tokens > 0) return own;
  const double reach = std::pow(own.hi / own.lo, settings_.overlap);
  return {std::max(own.lo / reach, settings_.sigma_min), std::min(own.hi * reach, settings_.sigma_max)};
}

kernels::SigmaInterval NoiseSchedule::training_interval(int b, NoiseSampling sampling,
                                                        double sigma_max_fraction) const {
  BLOCKTRAIN_EXPECTS(sigma_max_fraction >= 0 && sigma_max_fraction <= 1);
  const NoiseRange range = trained(b);
  if (settings_.masked_tokens > 0) {
    kernels::SigmaInterval out;
    out.lo = range.lo;
    out.hi = range.hi;
    return out;
  }
  const Probability lo = normal_cdf(standardised(settings_, range.lo));
  const Probability hi = normal_cdf(standardised(settings_, range.hi));
  kernels::SigmaInterval out;
  out.lo = range.lo;
  out.hi = range.hi;
  out.coordinate = coordinate_of(sampling, settings_.partition);
  out.p_mean = settings_.p_mean;
  out.p_std = settings_.p_std;
  out.cdf_lo = lo.lower;
  out.cdf_hi = hi.lower;
  out.tail_lo = lo.upper;
  out.tail_hi = hi.upper;
  out.at_hi_fraction = b == 0 ? sigma_max_fraction : 0;
  if (out.coordinate == kernels::SigmaCoordinate::table) {
    const InformationCurve curve = curve_of(settings_);
    const double from = curve.entropy_at(range.lo), to = curve.entropy_at(range.hi);
    constexpr int last = kernels::sigma_table_points - 1;
    for (int i = 0; i <= last; ++i) out.log_sigma[i] = std::log(curve.sigma_at(from + (to - from) * i / last));
    out.log_sigma[0] = std::log(range.lo);
    out.log_sigma[last] = std::log(range.hi);
  }
  return out;
}

std::vector<double> NoiseSchedule::sampling_edges(int steps) const {
  BLOCKTRAIN_EXPECTS(steps >= 1);
  return levels(settings_, steps);
}

kernels::SigmaInterval single_level(double sigma) {
  kernels::SigmaInterval out;
  out.lo = out.hi = sigma;
  out.coordinate = kernels::SigmaCoordinate::sigma;
  out.at_hi_fraction = 1;
  return out;
}

}  // namespace blocktrain::blocks
