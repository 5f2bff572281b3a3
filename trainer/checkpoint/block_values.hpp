#pragma once
/// What the writer and the reader of block files both check.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "trainer/checkpoint/block_layout.hpp"

namespace blocktrain::trainer {

static_assert(std::endian::native == std::endian::little, "block files are written as they stand in memory");

/// Whether `text` is 1 to 128 lower-case hex digits.
inline bool is_experiment_identity(std::string_view text) {
  return !text.empty() && text.size() <= 128 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

/// The part of a flat vector that is parameter `p`.
template <class T>
std::span<T> slice(std::span<T> flat, const blocks::Parameter& p) {
  const auto offset = static_cast<std::size_t>(p.offset), size = static_cast<std::size_t>(p.size);
  BLOCKTRAIN_EXPECTS(offset <= flat.size() && size <= flat.size() - offset);
  return flat.subspan(offset, size);
}

/// Index of the first number that no training can go on from: not finite, or a negative second moment.
inline std::optional<std::size_t> find_unusable(std::span<const float> values, Table table) {
  const bool signed_values = table != Table::second_moment;
  const auto usable = [signed_values](float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    return (bits & 0x7f800000u) != 0x7f800000u && (signed_values || bits <= 0x80000000u);
  };
  // Whole pieces without a branch per number: these vectors are most of what a checkpoint costs.
  constexpr std::size_t piece = 4096;
  for (std::size_t begin = 0; begin < values.size(); begin += piece) {
    const std::span<const float> part = values.subspan(begin, std::min(piece, values.size() - begin));
    bool all = true;
    for (const float value : part) all &= usable(value);
    if (all) continue;
    for (std::size_t i = 0; i < part.size(); ++i) {
      if (!usable(part[i])) return begin + i;
    }
  }
  return std::nullopt;
}

/// Checks what the format asks of a block's parameter list: a bug in a network otherwise.
inline void require_sound(std::span<const blocks::Parameter> parameters) {
  std::set<std::string_view> names;
  for (const blocks::Parameter& p : parameters) {
    BLOCKTRAIN_EXPECTS(!p.name.empty() && p.name.size() <= 200 && p.name != "." &&
                       p.name.find('/') == std::string::npos);
    BLOCKTRAIN_EXPECTS(names.insert(p.name).second);
    BLOCKTRAIN_EXPECTS(!p.shape.empty() && p.shape.size() <= 32 && p.offset >= 0);
    std::int64_t size = 1;
    for (const std::int64_t d : p.shape) {
      BLOCKTRAIN_EXPECTS(d > 0 && !__builtin_mul_overflow(size, d, &size));
    }
    BLOCKTRAIN_EXPECTS(size == p.size);
  }
  BLOCKTRAIN_EXPECTS(!names.empty());
}

}  // namespace blocktrain::trainer
