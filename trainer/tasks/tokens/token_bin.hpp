#pragma once
/// Files of token ids as other programs write them: 16 bits each, the low byte first.
///   nanogpt  nothing else
///   llmc     behind a header of 256 32-bit numbers: 20240520, the version 1, the number of tokens, zeros

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "trainer/tasks/tokens/token_data_options.hpp"

namespace blocktrain::trainer {

inline constexpr std::int32_t llmc_magic = 20240520;
inline constexpr std::size_t llmc_header_bytes = 1024;
inline constexpr int bin_token_bytes = 2;

struct BinLayout {
  std::size_t first_byte = 0;  ///< of the first token
  std::int64_t tokens = 0;
};

/// Which of the two a file is, by its first bytes.
TokenFormat bin_format_of(std::span<const std::uint8_t> file);

/// Where the tokens of a file lie. `name` stands for it in messages. Throws InputError: another magic number or
/// version, a size that is not what the header says, half a token.
BinLayout read_bin_layout(TokenFormat format, std::span<const std::uint8_t> file, const std::string& name);

}  // namespace blocktrain::trainer
