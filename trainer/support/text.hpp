#pragma once
/// Lists in words, and texts that grow.

#include <fmt/format.h>

#include <iterator>
#include <string>
#include <string_view>
#include <utility>

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

/// Adds to `out` in the way of fmt::format.
template <class... T>
void add_text(fmt::memory_buffer& out, fmt::format_string<T...> format, T&&... values) {
  fmt::format_to(std::back_inserter(out), format, std::forward<T>(values)...);
}

}  // namespace blocktrain::trainer
