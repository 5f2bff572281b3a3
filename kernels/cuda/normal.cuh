#pragma once
/// Normal numbers from the same random words as on the CPU (Box-Muller; see Ops::random_normal).

#include "kernels/random.hpp"

namespace blocktrain::kernels::cuda {

/// log of the uniform number (word + 1/2) 2^-32. Near 1 the distance to 1 is taken from the integer, where a float32
/// has no bits left for it.
__device__ inline float log_uniform(std::uint32_t word) {
  if (word >= 0xc0000000u) return log1pf(-((static_cast<float>(~word) + 0.5f) * 0x1p-32f));
  return logf((static_cast<float>(word) + 0.5f) * 0x1p-32f);
}

/// The normal numbers of elements 4*group .. 4*group+3.
__device__ inline void normal_group(float (&out)[4], const RandomKey& key, std::uint32_t step, std::uint32_t sample,
                                    std::uint32_t group) {
  const auto words = random_words(key, step, sample, group);
#pragma unroll
  for (int pair = 0; pair < 4; pair += 2) {
    const float radius = sqrtf(-2.0f * log_uniform(words[static_cast<std::size_t>(pair)]));
    // Half turns in [-1, 1): the nearest whole turn is taken off by reading the word as signed, which is exact.
    const auto turns = static_cast<std::int32_t>(words[static_cast<std::size_t>(pair + 1)]);
    float sine, cosine;
    sincospif((static_cast<float>(turns) + 0.5f) * 0x1p-31f, &sine, &cosine);
    out[pair] = radius * cosine;
    out[pair + 1] = radius * sine;
  }
}

}  // namespace blocktrain::kernels::cuda
