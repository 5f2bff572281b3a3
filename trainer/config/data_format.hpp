#pragma once
/// The kinds of image data that are read (data.format).

#include <cstdint>

namespace blocktrain::trainer {

enum class DataFormat : std::uint8_t { automatic, idx, cifar10, cifar100 };

}  // namespace blocktrain::trainer
