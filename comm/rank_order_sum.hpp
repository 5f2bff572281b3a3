#pragma once
/// The one addition of all_reduce: every transport calls it, so every transport gives the same bits.

#include <cstddef>
#include <span>

namespace blocktrain::comm {

/// out[i] = parts[0][i] + parts[1][i] + ..., added from left to right, for i < count. `out` may be one of the parts.
/// Precondition: at least one part.
void sum_in_rank_order(float* out, std::span<const float* const> parts, std::size_t count);

}  // namespace blocktrain::comm
