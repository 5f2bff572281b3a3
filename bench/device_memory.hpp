#pragma once
/// What the driver says of the memory of the current CUDA device.

#include <cstddef>

namespace blocktrain::bench {

/// Free bytes, whoever took the rest; 0 in a build without CUDA.
std::size_t free_device_bytes();

}  // namespace blocktrain::bench
