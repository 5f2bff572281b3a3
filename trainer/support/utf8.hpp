#pragma once
/// Whether bytes are text.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace blocktrain::trainer {

/// Bytes of the character that begins at text[at]; 0 where none does that is valid.
std::size_t character_bytes(std::string_view text, std::size_t at);

/// The first byte that is not part of valid UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing beyond U+10FFFF,
/// no character cut short by the end); nothing where all is.
std::optional<std::size_t> find_invalid_utf8(std::span<const std::uint8_t> bytes);

/// Of such a byte "byte 3 (0xff) is not valid UTF-8"; nothing where all is.
std::optional<std::string> utf8_fault(std::string_view text);

/// `text` fit for a terminal: what is no valid UTF-8, and control characters other than line breaks and tabs, as \xNN.
std::string for_terminal(std::string_view text);

}  // namespace blocktrain::trainer
