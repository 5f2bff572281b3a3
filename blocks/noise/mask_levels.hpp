#pragma once
/// Who finds which masked tokens again: the numbers of masked tokens that a block is trained on (method: section 6,
/// exact masked objective).

#include <cstdint>

namespace blocktrain::blocks {

/// Numbers m of masked tokens, lo < m <= lo + count.
struct MaskCounts {
  std::int64_t lo = 0, count = 0;
  std::int64_t most() const { return lo + count; }
  /// The mean, where all are as frequent.
  double mean() const { return static_cast<double>(lo) + static_cast<double>(count + 1) / 2; }
};

/// Those of block b of B, of T tokens: m/T in equal pieces, the most masked first. Some have none where there are more
/// blocks than tokens.
constexpr MaskCounts mask_counts(std::int64_t tokens, int block, int blocks) {
  const std::int64_t lo = tokens * (blocks - block - 1) / blocks;
  return {lo, tokens * (blocks - block) / blocks - lo};
}

}  // namespace blocktrain::blocks
