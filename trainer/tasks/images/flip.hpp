#pragma once
/// Which training images are mirrored.

#include <cstdint>

#include "kernels/random.hpp"

namespace blocktrain::trainer {

/// Which sample of which step, in what run: keys what augmentation draws.
struct SampleKey {
  std::uint64_t seed = 0;
  std::uint32_t step = 0;
  std::uint32_t sample = 0;  ///< in the global batch
};

/// Whether the sample is mirrored: one half of them, keyed by Purpose::flip.
inline bool is_flipped(const SampleKey& key) {
  const kernels::RandomKey flips{key.seed, kernels::Purpose::flip};
  return kernels::uniform_open(kernels::random_words(flips, key.step, key.sample, 0)[0]) < 0.5;
}

}  // namespace blocktrain::trainer
