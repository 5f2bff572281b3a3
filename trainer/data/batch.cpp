#include "trainer/data/batch.hpp"

#include "kernels/error.hpp"

namespace blocktrain::trainer {

Batch Batch::rows(std::int64_t begin, std::int64_t end) const {
  return {step, first_sample + static_cast<std::uint32_t>(begin), images.rows(begin, end), labels.rows(begin, end)};
}

Batch bind_batch(kernels::Arena& arena, const DataShape& shape, std::int64_t rows) {
  BLOCKTRAIN_EXPECTS(rows >= 1);
  Batch batch;
  batch.images = arena.allocate(kernels::DType::float32, {rows, shape.channels, shape.height, shape.width});
  batch.labels = arena.allocate(kernels::DType::int32, {rows});
  return batch;
}

}  // namespace blocktrain::trainer
