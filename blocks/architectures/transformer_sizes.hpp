#pragma once
/// What the sizes of a transformer have to be, whatever its tokens are.

#include <cstdint>
#include <string>
#include <string_view>

#include "kernels/error.hpp"

namespace blocktrain::blocks {

/// Throws InputError, beginning with the architecture's name, where `fits` does not hold.
inline void require(std::string_view architecture, bool fits, const std::string& message) {
  if (!fits) throw InputError(std::string(architecture) + ": " + message);
}

/// Throws InputError naming what of a config does not fit: a width that is no multiple of `width_unit` and of
/// `head_unit` for each of its heads, sizes below 1, odd noise features, a dropout outside [0, 1).
template <class Config>
void check_sizes(std::string_view architecture, const Config& c, std::int64_t width_unit, std::int64_t head_unit) {
  const std::string of_heads = head_unit == 1 ? "heads" : std::to_string(head_unit) + " times heads";
  require(architecture,
          c.width >= width_unit && c.heads >= 1 && c.width % width_unit == 0 && c.width % (head_unit * c.heads) == 0,
          "width has to be a multiple of " + std::to_string(width_unit) + " and of " + of_heads + "; found width " +
              std::to_string(c.width) + ", heads " + std::to_string(c.heads));
  require(architecture, c.mlp_ratio >= 1, "mlp_ratio has to be 1 or more; found " + std::to_string(c.mlp_ratio));
  require(architecture, c.noise_features >= 2 && c.noise_features % 2 == 0,
          "noise_features has to be even; found " + std::to_string(c.noise_features));
  require(architecture, c.dropout >= 0 && c.dropout < 1,
          "dropout has to be from 0 to below 1; found " + std::to_string(c.dropout));
}

}  // namespace blocktrain::blocks
