#pragma once
/// How attention is cut where a head does not fit a thread's scratch whole, or where queries see ranges of keys.

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/attention.hpp"

namespace blocktrain::kernels::attention {

inline constexpr auto scratch_size = static_cast<std::int64_t>(Workspace::thread_floats);

/// How a head is cut: `queries` at a time against `keys` at a time. Both passes cut alike.
struct Tiles {
  std::int64_t keys, queries;
};

/// Floats of the backward pass, which takes the most: keys, values and their gradients; two tiles of scores; rows and
/// transposed rows of the queries and of dout, and the gradient of the queries; a number for each query.
constexpr std::int64_t floats(const Tiles& t, std::int64_t padded) {
  return 4 * t.keys * padded + 2 * t.keys * t.queries + 5 * t.queries * padded + 16 * largest_query_block;
}

constexpr Tiles tiles_of(std::int64_t padded) {
  // The larger the faster, up to what a core's cache holds. Of very wide heads, fewer queries.
  constexpr std::int64_t most_keys = 512;
  for (const std::int64_t queries : {largest_query_block, largest_query_block / 4}) {
    for (std::int64_t keys = most_keys; keys >= 16; keys /= 2) {
      if (floats({keys, queries}, padded) <= scratch_size) return {keys, queries};
    }
  }
  return {0, 0};
}
/// `count` rows of one head from `first` on, copied to zero-padded rows.
inline void copy_rows(const HeadRows<const float>& source, std::int64_t first, std::int64_t count, std::int64_t width,
                      std::int64_t padded, float* to) {
  for (std::int64_t t = 0; t < count; ++t) {
    const float* row = source.row(first + t);
    std::copy(row, row + width, to + t * padded);
    std::fill(to + t * padded + width, to + (t + 1) * padded, 0.0f);
  }
}

/// to[padded_width][columns] = the transposed rows, 0 beyond `count` of them.
inline void transpose(const float* rows, std::int64_t count, std::int64_t columns, std::int64_t padded, float* to) {
  for (std::int64_t d = 0; d < padded; ++d) {
    for (std::int64_t i = 0; i < columns; ++i) to[d * columns + i] = i < count ? rows[i * padded + d] : 0.0f;
  }
}

/// The widest head, in numbers, of which a tile fits the scratch: any number of tokens is served up to it.
inline constexpr std::int64_t widest_head = 29'088;
static_assert(widest_head % 16 == 0 && tiles_of(widest_head).keys == 16);

}  // namespace blocktrain::kernels::attention
