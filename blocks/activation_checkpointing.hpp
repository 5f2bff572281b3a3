#pragma once
/// What a layer keeps from forward to backward. Gradients are the same numbers with either.

#include <cstdint>

namespace blocktrain::blocks {

enum class ActivationCheckpointing : std::uint8_t {
  none,   ///< all that its backward pass reads
  layer,  ///< its input: the rest is computed again just before its backward pass, in memory that layers share
};

}  // namespace blocktrain::blocks
