#include "trainer/data/data_digest.hpp"

#include <array>
#include <cstddef>

namespace blocktrain::trainer {
namespace {

constexpr std::size_t pieces = 64;
constexpr std::size_t piece_bytes = 4096;

void add(Sha256& sha, std::span<const std::uint8_t> bytes) { sha.update(std::as_bytes(bytes)); }

}  // namespace

void add_number(Sha256& sha, std::uint64_t value) {
  std::array<std::uint8_t, 8> little_endian;
  for (auto& byte : little_endian) {
    byte = static_cast<std::uint8_t>(value & 0xff);
    value >>= 8;
  }
  add(sha, little_endian);
}

void add_pieces(Sha256& sha, std::span<const std::uint8_t> file) {
  add_number(sha, file.size());
  if (file.size() <= pieces * piece_bytes) return add(sha, file);
  // First and last piece included, since that is where headers and truncation show.
  for (std::size_t i = 0; i < pieces; ++i) {
    const std::size_t start = (file.size() - piece_bytes) / (pieces - 1) * i;
    add(sha, file.subspan(i + 1 == pieces ? file.size() - piece_bytes : start, piece_bytes));
  }
}

}  // namespace blocktrain::trainer
