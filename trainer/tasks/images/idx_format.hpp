#pragma once
/// The IDX format of MNIST and its kin. A file is
///   2 zero bytes, the element type (8: unsigned byte, the one that is read), the number of dimensions n,
///   n dimensions as big-endian 32-bit numbers, then the elements, the last dimension varying fastest.
/// Images have three dimensions (count, height, width; one grey channel) or four (count, channels, height, width),
/// labels have one (count).

#include <cstdint>
#include <span>
#include <string>

#include "trainer/tasks/images/image_source.hpp"

namespace blocktrain::trainer {

enum class IdxKind : std::uint8_t { images, labels };

/// Most bytes that a header of either kind takes: four dimensions.
inline constexpr std::size_t idx_longest_header = 4 + 4 * 4;

struct IdxHeader {
  std::int64_t count = 0;
  ImageShape shape;  ///< of one image; 1x1x1 for labels
  std::uint64_t header_bytes = 0;
  std::uint64_t total_bytes = 0;  ///< header and elements
};

/// Reads the header at the start of `bytes` (at least min(whole file, idx_longest_header) of them). `name` stands in
/// messages. Throws InputError: too short, wrong magic, type or dimensions, a zero count, more than fits.
IdxHeader parse_idx_header(std::span<const std::uint8_t> bytes, const std::string& name, IdxKind kind);

/// The header of a whole file, whose size has to be exactly what the header says. Throws InputError as above, or
/// when the file is truncated or has trailing bytes.
IdxHeader parse_idx_file(std::span<const std::uint8_t> bytes, const std::string& name, IdxKind kind);

}  // namespace blocktrain::trainer
