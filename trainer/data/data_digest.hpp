#pragma once
/// What digests of data sets are made of.

#include <cstdint>
#include <span>

#include "trainer/support/sha256.hpp"

namespace blocktrain::trainer {

/// Eight bytes, the lowest first.
void add_number(Sha256& sha, std::uint64_t value);

/// The size of a file, then all of it up to 256 KiB, or 64 evenly spaced pieces of 4 KiB: quick for files of any size.
void add_pieces(Sha256& sha, std::span<const std::uint8_t> file);

}  // namespace blocktrain::trainer
