#pragma once
/// The safetensors format: 8 bytes (little-endian) with the length of a JSON header, the header, the numbers. The
/// header is {NAME: {"dtype": "F32" | "F64" | "I32", "shape": [..], "data_offsets": [begin, end]}, "__metadata__":
/// {KEY: TEXT}}; offsets count from the end of the header. Spaces at its end bring the numbers to a multiple of 64
/// bytes; between them there are no gaps. Types of eight bytes come first, so that every tensor is aligned to its type;
/// then names in order. Equal tensors and metadata give equal bytes.

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "kernels/tensor.hpp"
#include "trainer/support/whole_file.hpp"

namespace blocktrain::trainer {

struct NamedTensor {
  std::string name;
  kernels::Tensor tensor;  ///< contiguous, in host memory
};

/// Text by key; UTF-8.
using Metadata = std::map<std::string, std::string>;

/// Writes `tensors` (of different names) into `file`, which the caller commits. Throws RunError when the system
/// refuses.
void write_safetensors(WholeFile& file, std::vector<NamedTensor> tensors, const Metadata& metadata);

/// The metadata of the file at `path`; empty when it is no safetensors file or cannot be read.
Metadata read_safetensors_metadata(const std::string& path);

}  // namespace blocktrain::trainer
