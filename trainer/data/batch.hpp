#pragma once
/// Samples as the block step takes them: on the host, in memory bound from an arena.

#include <cstdint>

#include "kernels/arena.hpp"
#include "trainer/data/data_shape.hpp"

namespace blocktrain::trainer {

struct Batch {
  std::uint32_t step = 0;
  std::uint32_t first_sample = 0;  ///< index in the global batch of row 0
  kernels::Tensor images;          ///< float32 [rows, channels, height, width], in [-1, 1]
  kernels::Tensor labels;          ///< int32 [rows]

  /// Rows [begin, end) of it.
  Batch rows(std::int64_t begin, std::int64_t end) const;
};

/// One batch of `rows` samples, bound from `arena`; on a measuring arena it is only counted.
Batch bind_batch(kernels::Arena& arena, const DataShape& shape, std::int64_t rows);

}  // namespace blocktrain::trainer
