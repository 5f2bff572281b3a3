#pragma once
/// Who denoises what: the partition of the noise range into one interval per block, the interval a block trains on,
/// and the noise levels of a sampler (method: section 1, partition and overlap; paper: block partitioning).
/// Double throughout: the quantiles reach far into the tails of the normal distribution.

#include <cstdint>
#include <vector>

#include "kernels/names.hpp"
#include "kernels/step_state.hpp"

namespace blocktrain::blocks {

/// The coordinate in which the edges of the blocks are spaced equally.
enum class Partition : std::uint8_t {
  equal_probability,  ///< Phi((ln sigma - p_mean) / p_std): every block owns the same share of the log-normal
  uniform,            ///< sigma
  uniform_log,        ///< ln sigma
  equal_information,  ///< what noise hides of a class (equal_information.hpp): every block has the same share to find
                      ///< out
};
constexpr auto name_table(Partition) {
  return names_up_to<Partition::equal_information>("equal_probability", "uniform", "uniform_log", "equal_information");
}

/// How a block draws noise levels inside its training interval.
enum class NoiseSampling : std::uint8_t {
  lognormal,    ///< the log-normal restricted to the interval
  uniform_log,  ///< uniform in ln sigma
  partition,    ///< uniform in the partition's own coordinate
};
constexpr auto name_table(NoiseSampling) {
  return names_up_to<NoiseSampling::partition>("lognormal", "uniform_log", "partition");
}

struct NoiseSettings {
  Partition partition = Partition::equal_probability;
  double sigma_min = 0.002, sigma_max = 80;
  double p_mean = -1.2, p_std = 1.2;  ///< ln sigma ~ N(p_mean, p_std^2)
  double overlap = 0.05;              ///< gamma: how far a training interval reaches into its neighbours
  /// Of partition equal_information: InformationCurve::entropy between sigma_min and sigma_max.
  std::vector<double> information;
  /// n above 0: levels are no sigma but the share of n tokens that are masked, from 1 down to 0; see of_masks().
  std::int64_t masked_tokens = 0;

  bool operator==(const NoiseSettings&) const = default;
};

/// A range of noise levels, lo <= hi.
struct NoiseRange {
  double lo = 0, hi = 0;
};

/// Immutable. Blocks count from 0, which has the highest noise.
class NoiseSchedule {
 public:
  /// Throws InputError when 0 < sigma_min < sigma_max, p_std > 0, overlap >= 0 or count >= 1 does not hold, or when
  /// the edges of so many blocks cannot be told apart in double. Precondition: with partition equal_information there
  /// is a curve.
  NoiseSchedule(const NoiseSettings& settings, int count);
  /// The schedule of masks (method: section 6, exact masked objective): block b owns m masked tokens of `tokens`, lo <
  /// m
  /// <= lo + K_b, lo = floor(n (B-b-1) / B), K_b = floor(n (B-b) / B) - lo, as levels m/n. Nothing overlaps. Throws
  /// InputError when a block would own no level.
  static NoiseSchedule of_masks(std::int64_t tokens, int count);

  const NoiseSettings& settings() const { return settings_; }
  int count() const { return static_cast<int>(edges_.size()) - 1; }
  /// count() + 1 levels: sigma_max = sigma^(0) > sigma^(1) > ... > sigma^(B) = sigma_min, the ends exactly.
  const std::vector<double>& edges() const { return edges_; }

  /// The one block that owns `sigma` at inference: b with sigma in (sigma^(b+1), sigma^(b)], the last one sigma_min
  /// too. Sigma has to be in [sigma_min, sigma_max].
  int block_of(double sigma) const;

  /// What block b owns: [sigma^(b+1), sigma^(b)].
  NoiseRange owned(int b) const;
  /// What block b trains on: [sigma^(b+1)/a, sigma^(b)*a], a = (sigma^(b)/sigma^(b+1))^overlap, clamped to
  /// [sigma_min, sigma_max].
  NoiseRange trained(int b) const;

  /// trained(b) with everything an op needs to draw from it; the share `sigma_max_fraction` (in [0, 1]) of block 0's
  /// draws is exactly sigma_max, other blocks ignore it. An end-to-end network draws from block 0 of a schedule of one
  /// block.
  kernels::SigmaInterval training_interval(int b, NoiseSampling sampling, double sigma_max_fraction = 0) const;

  /// The levels of a sampler of `steps` steps: steps + 1 of them, equally spaced in the partition's coordinate from
  /// sigma_max to sigma_min. With steps == count() these are edges(); with a multiple of it they contain edges().
  std::vector<double> sampling_edges(int steps) const;

 private:
  NoiseSettings settings_;
  std::vector<double> edges_;
};

/// An interval whose every draw is `sigma`: a loss at one noise level.
kernels::SigmaInterval single_level(double sigma);

}  // namespace blocktrain::blocks
