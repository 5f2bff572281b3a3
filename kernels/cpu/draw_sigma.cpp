#include <algorithm>
#include <boost/math/special_functions/erf.hpp>
#include <cmath>
#include <numbers>

#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/parallel.hpp"

namespace blocktrain::kernels {
namespace {

namespace policies = boost::math::policies;
/// Plain double, and infinity instead of an exception at probability 0 (the interval's end then takes over).
using Policy = policies::policy<policies::promote_double<false>, policies::overflow_error<policies::ignore_error>,
                                policies::domain_error<policies::ignore_error>>;

/// z with P(Z > z) = tail for a standard normal Z.
double upper_quantile(double tail) { return std::numbers::sqrt2 * boost::math::erfc_inv(2 * tail, Policy()); }

double draw(const SigmaInterval& interval, double u) {
  if (interval.coordinate == SigmaCoordinate::sigma) return interval.lo + u * (interval.hi - interval.lo);
  if (interval.coordinate == SigmaCoordinate::log_sigma) {
    const double low = std::log(interval.lo);
    return std::exp(low + u * (std::log(interval.hi) - low));
  }
  // In the upper half the tail probability has the digits that the lower one has lost to rounding near 1.
  const double lower = interval.cdf_lo + u * (interval.cdf_hi - interval.cdf_lo);
  const double z = lower <= 0.5 ? -upper_quantile(lower)
                                : upper_quantile(interval.tail_hi + (1 - u) * (interval.tail_lo - interval.tail_hi));
  return std::exp(interval.p_mean + interval.p_std * z);
}

}  // namespace

void CpuBackend::draw_sigma(const Tensor& sigma, const SigmaInterval* interval_here, const RandomKey& key,
                            const StepState* state, std::uint32_t first_sample) {
  const SigmaInterval& interval = *interval_here;
  float* const out = sigma.as<float>();
  parallel_ranges(threads_, sigma.size(), 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = begin; n < end; ++n) {
      const auto words = random_words(key, state->step, first_sample + static_cast<std::uint32_t>(n), 0);
      const bool exactly_hi = uniform_open(words[1]) < interval.at_hi_fraction;
      const double drawn = exactly_hi ? interval.hi : draw(interval, uniform_open(words[0]));
      out[n] = static_cast<float>(std::clamp(drawn, interval.lo, interval.hi));
    }
  });
}

}  // namespace blocktrain::kernels
