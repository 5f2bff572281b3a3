#pragma once
/// The shape of a run's samples.

#include <cstdint>

namespace blocktrain::trainer {

/// What a network has to know of its data.
struct DataShape {
  std::int64_t channels = 1, height = 1, width = 1;
  std::int64_t classes = 1;
  /// Numbers in one sample.
  std::int64_t size() const { return channels * height * width; }
  bool operator==(const DataShape&) const = default;
};

}  // namespace blocktrain::trainer
