#pragma once
/// The spelling of bytes in files of byte-level BPE: each byte is one printable character. '!' to '~', U+00A1 to U+00AC
/// and U+00AE to U+00FF stand for the byte of their own number; the other 68 bytes, in order, are U+0100, U+0101, ...

#include <string>
#include <string_view>

namespace blocktrain::trainer {

/// Appends the bytes that `spelt` stands for to `out` and is true; or is false and leaves `out` alone, where `spelt`
/// has a character that is none of the 256 or is not valid UTF-8.
bool append_spelt_bytes(std::string_view spelt, std::string& out);

/// The character that stands for a byte, in UTF-8.
std::string spelling_of_byte(unsigned char byte);

}  // namespace blocktrain::trainer
