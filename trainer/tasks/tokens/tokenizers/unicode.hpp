#pragma once
/// What tokenizers ask of Unicode (through utf8proc): valid UTF-8, classes of characters, normal form C.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace blocktrain::trainer {

/// As regular expressions name them: \p{L}, \p{N}, \s (White_Space), and what is none of these.
enum class CharacterClass : std::uint8_t { letter, number, space, other };

/// One character of a text.
struct Character {
  char32_t code = 0;
  std::uint8_t bytes = 1;
  CharacterClass kind = CharacterClass::other;
};

/// Throws InputError that names the first byte where `text` is not valid UTF-8: its offset and its value.
void require_utf8(std::string_view text);

namespace detail {

constexpr CharacterClass ascii_class(char32_t code) {
  if ((code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z')) return CharacterClass::letter;
  if (code >= '0' && code <= '9') return CharacterClass::number;
  if (code == ' ' || (code >= '\t' && code <= '\r')) return CharacterClass::space;
  return CharacterClass::other;
}

constexpr std::array<CharacterClass, 128> ascii_classes() {
  std::array<CharacterClass, 128> classes{};
  for (char32_t code = 0; code < classes.size(); ++code) classes[code] = ascii_class(code);
  return classes;
}

inline constexpr std::array<CharacterClass, 128> ascii = ascii_classes();

Character decode_character(std::string_view text, std::size_t at);

}  // namespace detail

/// The character that begins at text[at]. `text` is valid UTF-8.
inline Character character_at(std::string_view text, std::size_t at) {
  const auto first = static_cast<unsigned char>(text[at]);
  if (first < detail::ascii.size()) return {first, 1, detail::ascii[first]};
  return detail::decode_character(text, at);
}

/// Appends `text`, which is valid UTF-8, in normal form C.
void append_normal_form_c(std::string_view text, std::string& out);

}  // namespace blocktrain::trainer
