#pragma once
/// Decoding of gzip and xz files into memory, once, with a bound on how much they may become.
///
/// The files are not trusted. A decoded file may have at most decoded_limit(packed) bytes, and where the
/// format says in its first bytes how long the whole is (IDX), exactly that many; memory for more is never taken.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/data/mapped_bytes.hpp"

namespace blocktrain::trainer {

enum class Codec : std::uint8_t { none, gzip, xz };

/// The compression that a file's name ends in: ".gz", ".xz" or none.
Codec codec_of(std::string_view file_name);

/// Largest decoded size that is accepted for `packed` bytes: 1 MiB + 1100 times the packed size, at most 16 GiB.
/// Deflate cannot exceed 1032:1, and xz comes near it for none of the data that are read.
constexpr std::uint64_t decoded_limit(std::uint64_t packed) {
  constexpr std::uint64_t most = std::uint64_t{1} << 34;
  const std::uint64_t start = std::uint64_t{1} << 20;
  return packed >= most / 1100 ? most : (start + 1100 * packed < most ? start + 1100 * packed : most);
}

/// Memory that a decoder itself may take; an xz file whose dictionary needs more is refused.
inline constexpr std::uint64_t decoder_memory_limit = std::uint64_t{256} << 20;

/// Told the first bytes of the decoded file (up to as many as were asked for; fewer when it is shorter), returns
/// the size that the whole must have, at least 1. Throws InputError when they are no valid header.
using SizeFromHeader = std::function<std::uint64_t(std::span<const std::uint8_t> header)>;

/// The first bytes that `packed` (not Codec::none) decodes to: `most` of them, fewer where there are no more. Throws
/// InputError when it is damaged or truncated before them.
std::vector<std::uint8_t> decode_start(Codec codec, std::span<const std::uint8_t> packed, const std::string& name,
                                       std::size_t most);

/// Decodes `packed` (not Codec::none), whose first `header_bytes` decoded bytes tell the size.
/// `name` stands in messages. Throws InputError: damaged, truncated, other size than told, beyond the limit.
MappedBytes decode_sized(Codec codec, std::span<const std::uint8_t> packed, const std::string& name,
                         std::size_t header_bytes, const SizeFromHeader& size_from_header);

/// Decodes `packed` whose size is not told beforehand. Throws InputError: damaged, truncated, empty, beyond the limit.
MappedBytes decode_unsized(Codec codec, std::span<const std::uint8_t> packed, const std::string& name);

}  // namespace blocktrain::trainer
