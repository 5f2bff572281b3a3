#include "trainer/tasks/labels/label_samples.hpp"

#include <algorithm>
#include <utility>

#include "kernels/error.hpp"
#include "trainer/tasks/images/pixels.hpp"

namespace blocktrain::trainer {
LabelSamples::LabelSamples(ImageDataset data, const std::string& path, const Augmentation& augmentation)
    : ImageSamples(std::move(data), path, false), augmentation_(augmentation) {
  const std::int64_t channels = dataset().shape().channels;
  if (augmentation.operations > 0 && channels != 1 && channels != 3) {
    throw InputError("data.rand_augment: found " + std::to_string(augmentation.operations) + ", but the images in '" +
                     path + "' have " + std::to_string(channels) +
                     " channels; accepted: grey images or those of red, green and blue, or rand_augment 0");
  }
}

void LabelSamples::fill_augmented(Split split, std::int64_t index, const SampleKey& key, float* out) const {
  if (augmentation_.none()) return fill_image(dataset(), split, index, false, out);
  // The bytes on the way lie in the same memory, which has four for every pixel: the image in the last quarter, scratch
  // before it. Turned into numbers from the front, no byte is overwritten before it was read.
  const ImageShape& shape = dataset().shape();
  const std::int64_t size = shape.size();
  auto* const bytes = reinterpret_cast<std::uint8_t*>(out);
  const ByteImage image{bytes + 3 * size, shape.channels, shape.height, shape.width};
  std::copy_n(dataset().image(split, index), size, image.pixels);
  augment(augmentation_, key, image, {bytes + 2 * size, static_cast<std::size_t>(size)});
  for (std::int64_t e = 0; e < size; ++e) {
    const std::uint8_t pixel = image.pixels[e];
    out[e] = pixel_values[pixel];
  }
}

Augmentation augmentation_of(const LabelsOptions& options) {
  return {options.flip, options.crop_padding, options.rand_augment, options.rand_augment_magnitude};
}

}  // namespace blocktrain::trainer
