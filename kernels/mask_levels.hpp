#pragma once
/// Numbers of masked discrete diffusion that every device counts alike: how many tokens a level masks, and which level
/// a sample draws (method: section 6, exact masked objective). In double, so that they are the same bits everywhere.

#include <cmath>
#include <cstdint>

#include "kernels/random.hpp"
#include "kernels/step_state.hpp"

namespace blocktrain::kernels {

/// m of `tokens` tokens that are masked at level m / tokens, whose rounding is undone.
BLOCKTRAIN_HOST_DEVICE inline std::int64_t masked_tokens(double level, std::int64_t tokens) {
  return static_cast<std::int64_t>(floor(level * static_cast<double>(tokens) + 0.5));
}

/// m of draw i of `draws`, from lo + 1 to hi, where the interval is [lo, hi] / tokens: lo + 1 + floor((hi - lo) frac(u
/// + i / draws)). So the draws of a batch lie apart by equal steps, from a start u in (0, 1) that all of them share.
BLOCKTRAIN_HOST_DEVICE inline std::int64_t drawn_masked_tokens(const SigmaInterval& interval, std::int64_t tokens,
                                                               double u, std::int64_t i, std::int64_t draws) {
  const std::int64_t lo = masked_tokens(interval.lo, tokens), count = masked_tokens(interval.hi, tokens) - lo;
  const double place = u + static_cast<double>(i) / static_cast<double>(draws);
  const auto above = static_cast<std::int64_t>(floor(static_cast<double>(count) * (place - floor(place))));
  return lo + 1 + (above < count ? above : count - 1);
}

}  // namespace blocktrain::kernels
