#pragma once
/// The kinds of image data that are read (data.format).

#include <cstdint>

#include "kernels/names.hpp"

namespace blocktrain::trainer {

enum class DataFormat : std::uint8_t { automatic, idx, cifar10, cifar100 };
constexpr auto name_table(DataFormat) {
  return names_up_to<DataFormat::cifar100>("auto", "idx", "cifar10", "cifar100");
}

}  // namespace blocktrain::trainer
