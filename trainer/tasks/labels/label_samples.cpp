#include "trainer/tasks/labels/label_samples.hpp"

#include <algorithm>
#include <utility>

#include "kernels/error.hpp"
#include "trainer/tasks/images/pixels.hpp"

namespace blocktrain::trainer {
namespace {

/// Writes one changed image to `out`, shape.size() floats. The bytes on the way lie in the same memory, which has four
/// for every pixel: the image in the last quarter, scratch before it. Turned into numbers from the front, no byte is
/// overwritten before it was read.
void fill_augmented(const std::uint8_t* pixels, const ImageShape& shape, const Augmentation& augmentation,
                    const SampleKey& key, float* out) {
  const std::int64_t size = shape.size();
  auto* const bytes = reinterpret_cast<std::uint8_t*>(out);
  const ByteImage image{bytes + 3 * size, shape.channels, shape.height, shape.width};
  std::copy_n(pixels, size, image.pixels);
  augment(augmentation, key, image, {bytes + 2 * size, static_cast<std::size_t>(size)});
  for (std::int64_t e = 0; e < size; ++e) {
    const std::uint8_t pixel = image.pixels[e];
    out[e] = pixel_values[pixel];
  }
}

}  // namespace

LabelSamples::LabelSamples(ImageDataset data, const std::string& path, const Augmentation& augmentation)
    : ImageSamples(std::move(data), path, augmentation.flip), augmentation_(augmentation) {
  const std::int64_t channels = dataset().shape().channels;
  if (augmentation.operations > 0 && channels != 1 && channels != 3) {
    throw InputError("data.rand_augment: found " + std::to_string(augmentation.operations) + ", but the images in '" +
                     path + "' have " + std::to_string(channels) +
                     " channels; accepted: grey images or those of red, green and blue, or rand_augment 0");
  }
}

void LabelSamples::fill(const blocks::Batch& batch, Split split, std::span<const std::int64_t> indices,
                        std::optional<std::uint64_t> augmented) const {
  if (!augmented || augmentation_.none()) return ImageSamples::fill(batch, split, indices, std::nullopt);
  const kernels::Tensor &images = batch.fields[image_field], &labels = batch.fields[label_field];
  const std::int64_t rows = images.dim(0);
  BLOCKTRAIN_EXPECTS(static_cast<std::int64_t>(indices.size()) == rows && labels.dim(0) == rows);
  BLOCKTRAIN_EXPECTS(images.row_size() == dataset().shape().size());
  float* image = images.as<float>();
  std::int32_t* label = labels.as<std::int32_t>();
  SampleKey key{*augmented, batch.step, batch.first_sample};
  for (const std::int64_t index : indices) {
    fill_augmented(dataset().image(split, index), dataset().shape(), augmentation_, key, image);
    *label++ = dataset().label(split, index);
    image += images.row_stride;
    ++key.sample;
  }
  // After it was read: nothing is made of what was not there in the beginning.
  dataset().require_unchanged();
}

Augmentation augmentation_of(const LabelsOptions& options) {
  return {options.flip, options.crop_padding, options.rand_augment, options.rand_augment_magnitude};
}

}  // namespace blocktrain::trainer
