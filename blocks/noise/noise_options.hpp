#pragma once
/// The keys of the section `noise`, which objectives share that draw a noise level sigma: the schedule
/// (noise_schedule.hpp), how levels are drawn from it, and the preconditioning.

#include <span>
#include <vector>

#include "blocks/noise/schedule.hpp"
#include "blocks/setting.hpp"

namespace blocktrain::blocks {

struct NoiseOptions : NoiseSettings {
  NoiseSampling sampling = NoiseSampling::lognormal;
  double sigma_data = 0.5;        ///< deviation of the data, for the preconditioning
  double sigma_max_fraction = 0;  ///< share of block 0's draws that are exactly sigma_max

  void describe(std::vector<Setting>& out);
  /// The keys that are left where levels are shares of masked tokens.
  void describe_of_masks(std::vector<Setting>& out);
  void check(std::span<const Setting> all, std::vector<Conflict>& out) const;
  bool operator==(const NoiseOptions&) const = default;
};

}  // namespace blocktrain::blocks
