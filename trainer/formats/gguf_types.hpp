#pragma once
/// How GGUF stores the numbers of a tensor: in blocks of a few elements.

#include <cstdint>

namespace blocktrain::trainer {

struct GgufTensorType {
  std::uint32_t id;
  const char* name;
  std::uint32_t block_elements;
  std::uint32_t block_bytes;
};

/// The type of that id; null where it is none whose layout is known here.
const GgufTensorType* gguf_tensor_type(std::uint32_t id);

}  // namespace blocktrain::trainer
