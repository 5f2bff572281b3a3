#pragma once
/// One table of names per enum, declared beside it:
///
///     enum class Shade : std::uint8_t { light, dark };
///     constexpr auto name_table(Shade) { return names_up_to<Shade::dark>("light", "dark"); }
///
/// Whatever spells such a value or reads one goes by this table: config, ledger, checkpoints, messages.

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

namespace blocktrain {

/// A name for each enumerator from 0 to `last`, in their order.
template <auto last, class... Names>
constexpr std::array<std::string_view, sizeof...(Names)> names_up_to(Names... names) {
  static_assert(static_cast<std::size_t>(last) + 1 == sizeof...(Names), "as many names as enumerators");
  return {std::string_view(names)...};
}

/// The names of an enum, in the order of its enumerators.
template <class Enum>
inline constexpr auto names_of = name_table(Enum{});

template <class Enum>
constexpr std::string_view name_of(Enum value) {
  return names_of<Enum>.at(static_cast<std::size_t>(value));
}

/// The value of that name; nothing where no value has it.
template <class Enum>
constexpr std::optional<Enum> value_named(std::string_view name) {
  for (std::size_t i = 0; i < names_of<Enum>.size(); ++i) {
    if (names_of<Enum>[i] == name) return static_cast<Enum>(i);
  }
  return std::nullopt;
}

}  // namespace blocktrain
