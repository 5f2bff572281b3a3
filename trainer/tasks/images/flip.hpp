#pragma once
/// Which training images are mirrored.

#include <cstdint>

#include "kernels/random.hpp"

namespace blocktrain::trainer {

/// Whether `sample` of the global batch is mirrored at `step`: one half of them, keyed by Purpose::flip.
inline bool is_flipped(std::uint64_t seed, std::uint32_t step, std::uint32_t sample) {
  return kernels::uniform_open(kernels::random_words({seed, kernels::Purpose::flip}, step, sample, 0)[0]) < 0.5;
}

}  // namespace blocktrain::trainer
