#pragma once
/// The keys of objective `categorical`: classes as targets, whose embeddings lie under Gaussian noise.

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "blocks/setting.hpp"
#include "kernels/names.hpp"

namespace blocktrain::blocks {

/// How logits come from the network's output and the noisy embedding (method: section 1, discrete targets; section 6,
/// analytic evidence).
enum class Evidence : std::uint8_t {
  learned,   ///< head(c_skip z + c_out F)
  analytic,  ///< head(F) + z E^T / sigma^2
};
constexpr auto name_table(Evidence) { return names_up_to<Evidence::analytic>("learned", "analytic"); }

/// What becomes of the table E of class embeddings, which all blocks share (method: section 3).
enum class TargetEmbedding : std::uint8_t {
  frozen,        ///< stays as it starts; blocks share nothing while they train
  periodic,      ///< each block trains its own, and they are averaged every so many steps
  synchronized,  ///< its gradient is summed over the blocks in every step
};
constexpr auto name_table(TargetEmbedding) {
  return names_up_to<TargetEmbedding::synchronized>("frozen", "periodic", "synchronized");
}

struct CategoricalOptions {
  Evidence evidence = Evidence::analytic;
  TargetEmbedding target_embedding = TargetEmbedding::frozen;
  int average_every_steps = 100;  ///< of `periodic`

  void describe(std::vector<Setting>& out);
  bool operator==(const CategoricalOptions&) const = default;
};

/// A mean over the noise levels would hide that low ones give the answer away (method: section 5, traps 2 and 3;
/// section 6): a narrower range, cut by what noise hides of the class, and a quarter of block 0's draws without any of
/// it.
inline constexpr std::array categorical_defaults = {
    SettingDefault{"noise.partition", "equal_information"},
    SettingDefault{"noise.sampling", "partition"},
    SettingDefault{"noise.sigma_min", "0.03"},
    SettingDefault{"noise.sigma_max", "6.0"},
    SettingDefault{"noise.sigma_max_fraction", "0.25"},
};

}  // namespace blocktrain::blocks
