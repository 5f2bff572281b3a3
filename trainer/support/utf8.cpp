#include "trainer/support/utf8.hpp"

#include <fmt/format.h>

#include <cstring>

namespace blocktrain::trainer {
namespace {

std::span<const std::uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

}  // namespace

std::size_t character_bytes(std::string_view text, std::size_t at) {
  const std::span<const std::uint8_t> bytes = bytes_of(text.substr(at));
  const std::uint8_t first = bytes[0];
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || bytes.size() < length) return 0;
  // The second byte has a narrower range where a wider one would be overlong, a surrogate, or beyond the last
  // character.
  const std::uint8_t lowest = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  const std::uint8_t highest = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  if (bytes[1] < lowest || bytes[1] > highest) return 0;
  for (std::size_t i = 2; i < length; ++i) {
    if ((bytes[i] & 0xc0) != 0x80) return 0;
  }
  return length;
}

std::optional<std::size_t> find_invalid_utf8(std::span<const std::uint8_t> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::size_t i = 0;
  while (i < bytes.size()) {
    // Most text is ASCII: eight bytes at a time.
    std::uint64_t eight = 0;
    while (i + sizeof(eight) <= bytes.size()) {
      std::memcpy(&eight, bytes.data() + i, sizeof(eight));
      if ((eight & 0x8080808080808080u) != 0) break;
      i += sizeof(eight);
    }
    if (i == bytes.size()) break;
    const std::size_t length = character_bytes(text, i);
    if (length == 0) return i;
    i += length;
  }
  return std::nullopt;
}

std::optional<std::string> utf8_fault(std::string_view text) {
  const auto at = find_invalid_utf8(bytes_of(text));
  if (!at) return std::nullopt;
  return fmt::format("byte {} ({:#04x}) is not valid UTF-8", *at, static_cast<unsigned char>(text[*at]));
}

std::string for_terminal(std::string_view text) {
  const std::span<const std::uint8_t> bytes = bytes_of(text);
  std::string out;
  for (std::size_t i = 0; i < bytes.size();) {
    const std::size_t length = character_bytes(text, i);
    const bool control = length == 1 && (bytes[i] < 0x20 || bytes[i] == 0x7f) && bytes[i] != '\n' && bytes[i] != '\t';
    const bool late_control = length == 2 && bytes[i] == 0xc2 && bytes[i + 1] < 0xa0;  // U+0080 to U+009F
    const std::size_t step = length == 0 ? 1 : length;
    if (length == 0 || control || late_control) {
      for (std::size_t k = i; k < i + step; ++k) out += fmt::format("\\x{:02x}", bytes[k]);
    } else {
      out += text.substr(i, step);
    }
    i += step;
  }
  return out;
}

}  // namespace blocktrain::trainer
