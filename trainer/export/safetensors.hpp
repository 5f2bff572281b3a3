#pragma once
/// Writes the safetensors format: 8 bytes little-endian length of the header; the header, a JSON object
/// {"__metadata__": {KEY: TEXT, ..}, NAME: {"dtype", "shape", "data_offsets": [begin, end]}, ..} padded with spaces to
/// a multiple of 8; then the numbers, little-endian, row-major, in the order of the header without gaps.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "trainer/eval/whole_file.hpp"

namespace blocktrain::trainer {

/// One tensor to write; the bytes stay with the caller.
struct NamedTensor {
  std::string name;
  const char* dtype = "F32";  ///< "F32", "F64" or "I32"
  std::vector<std::int64_t> shape;
  std::span<const std::byte> data;
};

template <class T>
NamedTensor named_tensor(std::string name, const char* dtype, std::vector<std::int64_t> shape,
                         std::span<const T> values) {
  return {std::move(name), dtype, std::move(shape), std::as_bytes(values)};
}

/// Writes all of it to `file`; the caller commits. Names have to be unique. Throws RunError as WholeFile::write.
void write_safetensors(WholeFile& file, const std::vector<NamedTensor>& tensors,
                       const std::vector<std::pair<std::string, std::string>>& metadata);

}  // namespace blocktrain::trainer
