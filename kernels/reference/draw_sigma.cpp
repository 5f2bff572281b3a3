#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/reference/index.hpp"
#include "kernels/reference/reference_backend.hpp"

namespace blocktrain::kernels {
using namespace reference;
namespace {

/// z with P(Z > z) = tail for a standard normal Z, 0 < tail <= 1/2, by bisection: slow, and easy to believe.
double upper_quantile(double tail) {
  double lo = 0, hi = 40;  // P(Z > 40) is below the smallest double
  for (int i = 0; i < 200; ++i) {
    const double middle = (lo + hi) / 2;
    const double tail_at_middle = std::erfc(middle / std::numbers::sqrt2) / 2;
    (tail_at_middle > tail ? lo : hi) = middle;
  }
  return (lo + hi) / 2;
}

double draw(const SigmaInterval& interval, double u) {
  switch (interval.coordinate) {
    case SigmaCoordinate::sigma:
      return interval.lo + u * (interval.hi - interval.lo);
    case SigmaCoordinate::log_sigma:
      return std::exp(std::log(interval.lo) + u * (std::log(interval.hi) - std::log(interval.lo)));
    case SigmaCoordinate::normal: {
      // The same point seen from both ends; the smaller probability is the precise one.
      const double lower = (1 - u) * interval.cdf_lo + u * interval.cdf_hi;
      const double upper = (1 - u) * interval.tail_lo + u * interval.tail_hi;
      const double z = lower <= 0.5 ? -upper_quantile(lower) : upper_quantile(upper);
      return std::exp(interval.p_mean + interval.p_std * z);
    }
  }
  BLOCKTRAIN_EXPECTS(!"a known SigmaCoordinate");
  return 0;
}

}  // namespace

void ReferenceBackend::draw_sigma(const Tensor& sigma, const SigmaInterval* interval_here, const RandomKey& key,
                                  const StepState* state, std::uint32_t first_sample) {
  const SigmaInterval& interval = *interval_here;
  for (Index n = 0; n < sigma.size(); ++n) {
    const auto words = random_words(key, state->step, first_sample + static_cast<std::uint32_t>(n), 0);
    const bool exactly_hi = uniform_open(words[1]) < interval.at_hi_fraction;
    const double drawn = exactly_hi ? interval.hi : draw(interval, uniform_open(words[0]));
    at(sigma, n) = std::clamp(drawn, interval.lo, interval.hi);  // rounding must not leave the interval
  }
}

}  // namespace blocktrain::kernels
