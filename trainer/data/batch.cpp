#include "trainer/data/batch.hpp"

#include "kernels/random.hpp"
#include "trainer/tasks/images/image_layout.hpp"
#include "trainer/tasks/images/pixels.hpp"

namespace blocktrain::trainer {

void fill_row(const ImageDataset& data, Split split, std::int64_t index, bool flip, const blocks::Batch& batch,
              std::int64_t row) {
  const kernels::Tensor &images = batch.fields[image_field], &labels = batch.fields[label_field];
  BLOCKTRAIN_EXPECTS(images.row_size() == data.shape().size() && row < images.dim(0) && row < labels.dim(0));
  fill_image(data, split, index, flip, images.as<float>() + row * images.row_stride);
  labels.as<std::int32_t>()[row] = data.label(split, index);
}

void fill_batch(const ImageDataset& data, Split split, std::span<const std::int64_t> indices,
                const blocks::Batch& batch) {
  BLOCKTRAIN_EXPECTS(static_cast<std::int64_t>(indices.size()) == batch.samples());
  std::int64_t row = 0;
  for (const std::int64_t index : indices) fill_row(data, split, index, false, batch, row++);
  data.require_unchanged();
}

void fill_batch(const ImageDataset& data, Split split, std::int64_t first, const blocks::Batch& batch) {
  for (std::int64_t row = 0; row < batch.samples(); ++row) fill_row(data, split, first + row, false, batch, row);
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
