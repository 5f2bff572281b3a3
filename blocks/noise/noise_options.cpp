#include "blocks/noise/noise_options.hpp"

#include <cmath>
#include <string>

namespace blocktrain::blocks {

void NoiseOptions::describe(std::vector<Setting>& out) {
  out.push_back({"noise", "partition", one_of(partition),
                 "How the noise range is shared out: equal probability under the log-normal, equal steps in sigma, "
                 "equal steps in log sigma, or, where the target is a class, equal steps in what noise hides of it."});
  out.push_back({"noise", "sampling", one_of(sampling),
                 "How sigma is drawn within a block's interval: from the log-normal restricted to it, uniform in "
                 "log sigma, or uniform in the partition's own coordinate."});
  out.push_back({"noise", "overlap", number(overlap, 0, 1),
                 "gamma: how far a block trains beyond its interval, as a share of the interval's length in log "
                 "sigma, on either side."});
  out.push_back({"noise", "sigma_min", number(sigma_min, 1e-6, 1e6),
                 "Lowest noise level, in the units of the numbers that the network sees."});
  out.push_back({"noise", "sigma_max", number(sigma_max, 1e-6, 1e6), "Highest noise level, where generation starts."});
  out.push_back({"noise", "sigma_data", number(sigma_data, 1e-3, 1e3), "Standard deviation of the data."});
  out.push_back({"noise", "p_mean", number(p_mean, -50, 50), "Mean of log sigma in the log-normal."});
  out.push_back({"noise", "p_std", number(p_std, 0.01, 100), "Standard deviation of log sigma in the log-normal."});
  out.push_back({"noise", "sigma_max_fraction", number(sigma_max_fraction, 0, 1),
                 "Share of block 0's draws that are exactly sigma_max."});
}

void NoiseOptions::describe_of_masks(std::vector<Setting>& out) {
  out.push_back({"noise", "overlap", number(overlap, 0, 0),
                 "Has to be 0: a block has the numbers of masked tokens that are its own, and no others."});
}

void NoiseOptions::check(std::span<const Setting> all, std::vector<Conflict>& out) const {
  if (partition == Partition::equal_information && find_setting(all, "objective.evidence") == nullptr) {
    out.push_back({{"noise.partition", "model.architecture"},
                   "found noise.partition equal_information, which is of class embeddings, with a model.architecture "
                   "whose target is no class; accepted: equal_probability, uniform or uniform_log"});
  }
  // Closer than this, the intervals of neighbouring blocks are the same in float32.
  constexpr double kLeastRatio = 1.01;
  if (!(sigma_max >= kLeastRatio * sigma_min)) {
    out.push_back({{"noise.sigma_min", "noise.sigma_max"},
                   "found noise.sigma_min " + shortest(sigma_min) + " with noise.sigma_max " + shortest(sigma_max) +
                       "; accepted: a sigma_max that is larger, by 1% at least"});
    return;
  }
  const bool by_probability = partition == Partition::equal_probability;
  if (!by_probability && sampling != NoiseSampling::lognormal) return;
  const double low = (std::log(sigma_min) - p_mean) / p_std, high = (std::log(sigma_max) - p_mean) / p_std;
  // Phi(high) - Phi(low), each from the tail on its own side, where it keeps its digits.
  const auto upper = [](double u) { return 0.5 * std::erfc(u / std::sqrt(2.0)); };
  const double mass = low > 0 ? upper(low) - upper(high) : upper(-high) - upper(-low);
  constexpr double kLeastMass = 1e-3;
  const std::string with = "found noise.p_mean " + shortest(p_mean) + " and noise.p_std " + shortest(p_std) +
                           " with the noise range " + shortest(sigma_min) + " to " + shortest(sigma_max);
  if (!(mass >= kLeastMass)) {
    out.push_back({{"noise.p_mean", "noise.p_std", "noise.sigma_min", "noise.sigma_max"},
                   with + "; accepted: a log-normal with at least " + shortest(kLeastMass) +
                       " of its probability inside the range"});
    return;
  }
  // Further out a block's interval would hold no probability that a double can tell from 0.
  constexpr double kFarthest = 30;
  if (!by_probability && (low < -kFarthest || high > kFarthest)) {
    out.push_back({{"noise.p_std", "noise.p_mean", "noise.sampling", "noise.sigma_min", "noise.sigma_max"},
                   with + "; accepted: a range within " + shortest(kFarthest) +
                       " deviations of the log-normal's mean, or another noise.sampling"});
  }
}

}  // namespace blocktrain::blocks
