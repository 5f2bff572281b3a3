#pragma once
/// What fuzz targets share.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "trainer/data/mapped_bytes.hpp"

/// Ends the program, which libFuzzer reports, where a promise is not kept.
inline void check(bool holds) {
  if (!holds) std::abort();
}

/// Bytes as a file that is mapped.
inline blocktrain::trainer::MappedBytes mapped_file(const std::vector<std::uint8_t>& bytes) {
  auto mapped = blocktrain::trainer::MappedBytes::anonymous(bytes.size());
  std::copy(bytes.begin(), bytes.end(), mapped.writable().begin());
  mapped.seal();
  return mapped;
}
