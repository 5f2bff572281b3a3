#pragma once
/// Philox4x32-10 (Salmon et al. 2011) on many counters side by side, in loops that compilers vectorise. Gives the words
/// of random_words() (kernels/random.hpp); tests hold the two together.

#include <cstdint>

#include "kernels/random.hpp"

namespace blocktrain::kernels {

/// Groups evaluated at once: four words each, so 64 numbers.
constexpr int philox_lanes = 16;

/// word[w][lane]: word w of group first + lane.
struct PhiloxWords {
  alignas(64) std::uint32_t word[4][philox_lanes];
};

/// The words of groups `first_group` .. `first_group` + 15 of `sample` at `step`.
inline void philox_groups(PhiloxWords& out, const RandomKey& key, std::uint32_t step, std::uint32_t sample,
                          std::uint32_t first_group) {
  constexpr std::uint64_t multiplier0 = 0xD2511F53u, multiplier1 = 0xCD9E8D57u;
  constexpr std::uint32_t weyl0 = 0x9E3779B9u, weyl1 = 0xBB67AE85u;
  const std::uint32_t stream = (static_cast<std::uint32_t>(key.purpose) << 24) | (key.block & 0xffffffu);
  const std::uint32_t key0 = static_cast<std::uint32_t>(key.seed), key1 = static_cast<std::uint32_t>(key.seed >> 32);
#pragma omp simd
  for (int lane = 0; lane < philox_lanes; ++lane) {
    std::uint32_t c0 = first_group + static_cast<std::uint32_t>(lane), c1 = sample, c2 = step, c3 = stream;
    std::uint32_t k0 = key0, k1 = key1;
#pragma GCC unroll 10
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t product0 = multiplier0 * c0, product1 = multiplier1 * c2;
      c0 = static_cast<std::uint32_t>(product1 >> 32) ^ c1 ^ k0;
      c1 = static_cast<std::uint32_t>(product1);
      c2 = static_cast<std::uint32_t>(product0 >> 32) ^ c3 ^ k1;
      c3 = static_cast<std::uint32_t>(product0);
      k0 += weyl0;
      k1 += weyl1;
    }
    out.word[0][lane] = c0;
    out.word[1][lane] = c1;
    out.word[2][lane] = c2;
    out.word[3][lane] = c3;
  }
}

}  // namespace blocktrain::kernels
