#pragma once
/// Numbers that change from step to step and are read by ops where the tensors live, so that a captured
/// sequence of ops (a CUDA graph) can be replayed for every step without new arguments.

#include <cstddef>
#include <cstdint>

#include "kernels/random.hpp"

namespace blocktrain::kernels {

/// One per block, in the memory of the device. The trainer writes the inputs before a step; ops fill in
/// the results.
struct StepState {
  // inputs
  std::uint32_t step = 0;      ///< counts from 0; the random numbers of a step are keyed by it
  float learning_rate = 0;     ///< of this step, schedule applied
  float bias_correction1 = 1;  ///< 1 - beta1^(step+1)
  float bias_correction2 = 1;  ///< 1 - beta2^(step+1)
  float clip_norm = 0;         ///< largest norm of the gradient; 0: no clipping
  // sums, zero at the start of a step
  double gradient_square_sum = 0;    ///< by sum_squares, over the whole gradient of the block
  double loss_sum = 0, mse_sum = 0;  ///< by add_losses, over the samples of the step
  // results
  float gradient_scale = 1;  ///< by clip_gradient: min(1, clip_norm / norm)
  /// By clip_gradient: 0 when the norm is not finite, and from then on; adamw then does nothing. So a step that was
  /// asked for before the failure of the one before it was known changes nothing either.
  std::int32_t finite = 1;
};

/// The leading bytes of a StepState: what is written before each of a row of steps. Before the first all of it is.
inline constexpr std::size_t step_inputs_bytes = offsetof(StepState, gradient_scale);

/// Coordinate in which a noise level is drawn uniformly (method: section 1, sampling within an interval).
enum class SigmaCoordinate : std::int32_t {
  normal = 0,     ///< CDF of the log-normal: log sigma ~ N(p_mean, p_std^2) restricted to the interval
  log_sigma = 1,  ///< uniform in log sigma
  sigma = 2,      ///< uniform in sigma
  table = 3,      ///< uniform in a coordinate that is known at points: SigmaInterval::log_sigma
};

/// Points of a tabulated coordinate within an interval, the ends among them.
inline constexpr std::int32_t sigma_table_points = 33;

/// The noise interval [lo, hi] of a block with what a device needs to draw from it. Double throughout.
/// Built by blocks/noise_schedule.hpp.
struct SigmaInterval {
  double lo = 0, hi = 0;
  SigmaCoordinate coordinate = SigmaCoordinate::normal;
  double p_mean = 0, p_std = 1;
  double cdf_lo = 0, cdf_hi = 1;    ///< lower-tail probability at lo and hi (coordinate normal)
  double tail_lo = 1, tail_hi = 0;  ///< upper-tail probability, exact where cdf rounds to 1
  double at_hi_fraction = 0;        ///< share of draws that are exactly hi (noise.sigma_max_fraction)
  /// ln sigma at equal steps of the coordinate from lo to hi, straight lines between (coordinate table).
  double log_sigma[sigma_table_points] = {};
};

}  // namespace blocktrain::kernels
