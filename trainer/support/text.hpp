#pragma once
/// Lists in words.

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace blocktrain::trainer {

/// The entries of `list`, one behind the other: "1, 2, 3".
template <class List>
std::string join(const List& list, std::string_view separator = ", ") {
  std::string text;
  bool first = true;
  for (const auto& entry : list) {
    if (!first) text += separator;
    first = false;
    text += fmt::format("{}", entry);
  }
  return text;
}

}  // namespace blocktrain::trainer
