#include "trainer/tasks/images/idx_format.hpp"

#include <cstdio>

#include "kernels/error.hpp"

namespace blocktrain::trainer {
namespace {

constexpr std::uint8_t unsigned_byte = 0x08;
/// Far above any memory; keeps every later product of sizes inside 64 bits.
constexpr std::uint64_t most_bytes = std::uint64_t{1} << 46;

std::uint32_t big_endian(const std::uint8_t* p) {
  return std::uint32_t{p[0]} << 24 | std::uint32_t{p[1]} << 16 | std::uint32_t{p[2]} << 8 | std::uint32_t{p[3]};
}

std::string hex(std::uint32_t value) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%08x", value);
  return text;
}

const char* expected_magic(IdxKind kind) {
  return kind == IdxKind::images ? "0x00000803 or 0x00000804 (IDX images of unsigned bytes)"
                                 : "0x00000801 (IDX labels of unsigned bytes)";
}

/// What a user most likely did, told from the bytes found instead of the magic.
std::string advice(std::uint32_t magic, IdxKind kind) {
  const std::uint32_t head = magic >> 16;
  if (head == 0x1f8b) return "it is gzip-compressed: end its name in .gz";
  if (head == 0xfd37) return "it is xz-compressed: unpack it with xz -d, IDX files are read plain or as .gz";
  if (kind == IdxKind::images && magic == 0x801) return "these are labels: the two files' names are swapped";
  if (kind == IdxKind::labels && (magic == 0x803 || magic == 0x804)) {
    return "these are images: the two files' names are swapped";
  }
  if (head == 0) return "convert its elements to unsigned bytes";
  return "fetch it again, or set data.format to what it is";
}

}  // namespace

IdxHeader parse_idx_header(std::span<const std::uint8_t> bytes, const std::string& name, IdxKind kind) {
  const std::string file = "data file " + name + ": ";
  const std::string too_short = file + "ends inside its IDX header, after " + std::to_string(bytes.size()) +
                                " bytes (truncated); fetch or copy it again";
  if (bytes.size() < 4) throw InputError(too_short);
  const std::uint32_t magic = big_endian(bytes.data());
  const std::uint32_t dims = magic & 0xff;
  const bool right_dims = kind == IdxKind::images ? dims == 3 || dims == 4 : dims == 1;
  if (magic >> 8 != unsigned_byte || !right_dims) {
    throw InputError(file + "starts with " + hex(magic) + ", expected " + expected_magic(kind) + "; " +
                     advice(magic, kind));
  }

  IdxHeader header;
  header.header_bytes = 4 + 4 * std::uint64_t{dims};
  if (bytes.size() < header.header_bytes) throw InputError(too_short);
  std::int64_t dim[4] = {1, 1, 1, 1};
  std::uint64_t elements = 1;
  for (std::uint32_t i = 0; i < dims; ++i) {
    const std::uint32_t d = big_endian(bytes.data() + 4 + 4 * i);
    if (d == 0) {
      throw InputError(file + "dimension " + std::to_string(i) + " of its IDX header is 0, expected at least 1; " +
                       "fetch or write it again");
    }
    if (__builtin_mul_overflow(elements, std::uint64_t{d}, &elements) || elements > most_bytes) {
      throw InputError(file + "the dimensions of its IDX header multiply to more than " + std::to_string(most_bytes) +
                       " bytes; the header is damaged, fetch or write the file again");
    }
    dim[i] = d;
  }
  if (dim[0] > most_images) {
    throw InputError(file + "announces " + std::to_string(dim[0]) + " entries, accepted are up to " +
                     std::to_string(most_images) + "; split the file");
  }
  header.count = dim[0];
  header.shape = dims == 4 ? ImageShape{dim[1], dim[2], dim[3]} : ImageShape{1, dim[1], dim[2]};
  header.total_bytes = header.header_bytes + elements;
  return header;
}

IdxHeader parse_idx_file(std::span<const std::uint8_t> bytes, const std::string& name, IdxKind kind) {
  const IdxHeader header = parse_idx_header(bytes, name, kind);
  if (bytes.size() != header.total_bytes) {
    const bool truncated = bytes.size() < header.total_bytes;
    throw InputError("data file " + name + ": has " + std::to_string(bytes.size()) + " bytes, its IDX header says " +
                     std::to_string(header.total_bytes) + " (" + (truncated ? "truncated" : "trailing bytes") +
                     "); fetch or copy it again");
  }
  return header;
}

}  // namespace blocktrain::trainer
