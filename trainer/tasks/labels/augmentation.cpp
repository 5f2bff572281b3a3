#include "trainer/tasks/labels/augmentation.hpp"

#include <algorithm>

#include "kernels/error.hpp"
#include "kernels/random.hpp"

namespace blocktrain::trainer {
namespace {

using kernels::Purpose;
using kernels::random_words;

/// Uniform in [0, count), by the high part of the product.
std::int64_t below(std::uint32_t word, std::int64_t count) {
  return static_cast<std::int64_t>((static_cast<std::uint64_t>(word) * static_cast<std::uint64_t>(count)) >> 32);
}

void mirror(const ByteImage& image) {
  for (std::int64_t row = 0; row < image.channels * image.height; ++row) {
    std::reverse(image.pixels + row * image.width, image.pixels + (row + 1) * image.width);
  }
}

/// Moves the image by (dx, dy) pixels; what comes from outside is 0.
void shift(const ByteImage& image, std::int64_t dx, std::int64_t dy, std::span<std::uint8_t> scratch) {
  std::copy_n(image.pixels, image.size(), scratch.begin());
  std::fill_n(image.pixels, image.size(), std::uint8_t{0});
  const std::int64_t left = std::max<std::int64_t>(dx, 0), right = std::min(image.width, image.width + dx);
  for (std::int64_t channel = 0; channel < image.channels; ++channel) {
    const std::int64_t start = channel * image.plane();
    for (std::int64_t y = std::max<std::int64_t>(dy, 0); y < std::min(image.height, image.height + dy); ++y) {
      for (std::int64_t x = left; x < right; ++x) {
        image.pixels[start + y * image.width + x] =
            scratch[static_cast<std::size_t>(start + (y - dy) * image.width + x - dx)];
      }
    }
  }
}

}  // namespace

void augment(const Augmentation& a, const SampleKey& key, const ByteImage& image, std::span<std::uint8_t> scratch) {
  BLOCKTRAIN_EXPECTS(std::ssize(scratch) >= image.size());
  if (a.flip && is_flipped(key)) mirror(image);
  // Group 0 is the crop's, group 1 + i that of RandAugment's operation i.
  const kernels::RandomKey random{key.seed, Purpose::augmentation};
  if (a.crop_padding > 0) {
    const auto words = random_words(random, key.step, key.sample, 0);
    const std::int64_t places = 2 * std::int64_t{a.crop_padding} + 1;
    shift(image, below(words[0], places) - a.crop_padding, below(words[1], places) - a.crop_padding, scratch);
  }
  for (int i = 0; i < a.operations; ++i) {
    const auto words = random_words(random, key.step, key.sample, 1 + static_cast<std::uint32_t>(i));
    const auto operation = static_cast<ImageOperation>(below(words[0], image_operations));
    const double plain = strength(operation, a.magnitude, image.height, image.width);
    apply(operation, has_sign(operation) && kernels::uniform_open(words[1]) < 0.5 ? -plain : plain, image, scratch);
  }
}

}  // namespace blocktrain::trainer
