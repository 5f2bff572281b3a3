#pragma once
/// Lists in words.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>
#include <string_view>

namespace blocktrain::trainer {

/// The entries of `list`, one behind the other: "1, 2, 3".
template <class List>
std::string join(const List& list, std::string_view separator = ", ") {
  return fmt::format("{}", fmt::join(list, separator));
}

}  // namespace blocktrain::trainer
