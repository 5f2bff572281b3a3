#pragma once
/// Pixels as bytes and as the numbers a network sees: value = byte / 255 * 2 - 1, in [-1, 1].

#include <array>
#include <cmath>
#include <cstdint>

namespace blocktrain::trainer {

/// pixel_values[byte]: computed in double, rounded once.
inline constexpr std::array<float, 256> pixel_values = [] {
  std::array<float, 256> values{};
  for (int i = 0; i < 256; ++i) values[static_cast<std::size_t>(i)] = static_cast<float>(i / 255.0 * 2.0 - 1.0);
  return values;
}();

/// The byte nearest to a value; values outside [-1, 1] are clamped, NaN becomes 0.
inline std::uint8_t to_pixel(float value) {
  const double scaled = (static_cast<double>(value) + 1.0) * 127.5;
  return static_cast<std::uint8_t>(scaled >= 255.0 ? 255.0 : (scaled > 0.0 ? std::nearbyint(scaled) : 0.0));
}

}  // namespace blocktrain::trainer
