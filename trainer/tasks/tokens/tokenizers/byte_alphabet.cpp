#include "trainer/tasks/tokens/tokenizers/byte_alphabet.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace blocktrain::trainer {
namespace {

constexpr bool spells_itself(unsigned byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
}

constexpr std::size_t characters = 0x100 + 68;

struct Alphabet {
  std::array<std::uint16_t, 256> character_of{};
  std::array<std::int16_t, characters> byte_of{};

  constexpr Alphabet() {
    byte_of.fill(-1);
    std::uint16_t next = 0x100;
    for (unsigned byte = 0; byte < 256; ++byte) {
      character_of[byte] = spells_itself(byte) ? static_cast<std::uint16_t>(byte) : next++;
      byte_of[character_of[byte]] = static_cast<std::int16_t>(byte);
    }
  }
};

constexpr Alphabet alphabet;

}  // namespace

bool append_spelt_bytes(std::string_view spelt, std::string& out) {
  const std::size_t before = out.size();
  for (std::size_t at = 0; at < spelt.size(); ++at) {
    // The alphabet ends below U+0800: one or two bytes a character.
    unsigned code = static_cast<unsigned char>(spelt[at]);
    if (code >= 0x80) {
      const unsigned second = at + 1 < spelt.size() ? static_cast<unsigned char>(spelt[at + 1]) : 0;
      code =
          code >= 0xc2 && code <= 0xdf && (second & 0xc0) == 0x80 ? (code & 0x1f) << 6 | (second & 0x3f) : characters;
      ++at;
    }
    if (code >= characters || alphabet.byte_of[code] < 0) {
      out.resize(before);
      return false;
    }
    out.push_back(static_cast<char>(alphabet.byte_of[code]));
  }
  return true;
}

std::string spelling_of_byte(unsigned char byte) {
  const unsigned code = alphabet.character_of[byte];
  if (code < 0x80) return {static_cast<char>(code)};
  return {static_cast<char>(0xc0 | code >> 6), static_cast<char>(0x80 | (code & 0x3f))};
}

}  // namespace blocktrain::trainer
