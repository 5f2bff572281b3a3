#include "trainer/data/batch.hpp"

#include "kernels/random.hpp"
#include "trainer/tasks/images/pixels.hpp"

namespace blocktrain::trainer {

Batch bind_batch(kernels::Arena& arena, const ImageShape& shape, std::int64_t rows) {
  BLOCKTRAIN_EXPECTS(rows >= 1);
  Batch batch;
  batch.images = arena.allocate(kernels::DType::float32, {rows, shape.channels, shape.height, shape.width});
  batch.labels = arena.allocate(kernels::DType::int32, {rows});
  return batch;
}

void fill_batch(const ImageDataset& data, Split split, std::span<const std::int64_t> indices, const Batch& batch) {
  const std::int64_t rows = batch.images.dim(0);
  BLOCKTRAIN_EXPECTS(static_cast<std::int64_t>(indices.size()) == rows && batch.labels.dim(0) == rows);
  BLOCKTRAIN_EXPECTS(batch.images.row_size() == data.shape().size());
  float* image = batch.images.as<float>();
  std::int32_t* label = batch.labels.as<std::int32_t>();
  for (const std::int64_t index : indices) {
    fill_image(data, split, index, false, image);
    *label++ = data.label(split, index);
    image += batch.images.row_stride;
  }
  data.require_unchanged();
}

void fill_image(const ImageDataset& data, Split split, std::int64_t index, bool flip, float* out) {
  const std::uint8_t* pixels = data.image(split, index);
  const std::int64_t width = data.shape().width;
  const std::int64_t size = data.shape().size();
  if (!flip) {
    for (std::int64_t e = 0; e < size; ++e) out[e] = pixel_values[pixels[e]];
    return;
  }
  for (std::int64_t row = 0; row < size; row += width) {
    for (std::int64_t x = 0; x < width; ++x) out[row + x] = pixel_values[pixels[row + width - 1 - x]];
  }
}

bool is_flipped(std::uint64_t seed, std::uint32_t step, std::uint32_t sample) {
  return kernels::uniform_open(kernels::random_words({seed, kernels::Purpose::flip}, step, sample, 0)[0]) < 0.5;
}

}  // namespace blocktrain::trainer
