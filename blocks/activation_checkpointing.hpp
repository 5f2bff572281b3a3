#pragma once
/// What a layer keeps from forward to backward. Gradients are the same numbers with either.

#include <cstdint>

#include "kernels/names.hpp"

namespace blocktrain::blocks {

enum class ActivationCheckpointing : std::uint8_t {
  none,   ///< all that its backward pass reads
  layer,  ///< its input: the rest is computed again just before its backward pass, in memory that layers share
};
constexpr auto name_table(ActivationCheckpointing) {
  return names_up_to<ActivationCheckpointing::layer>("none", "layer");
}

}  // namespace blocktrain::blocks
