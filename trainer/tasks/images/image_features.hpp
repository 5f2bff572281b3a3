#pragma once
/// Images as vectors that distances are measured between.

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/tasks/images/image_dataset.hpp"

namespace blocktrain::trainer {

/// At most this many numbers stand for an image in pixel space, at most 16x16 per channel once it has to be smaller.
inline constexpr std::int64_t most_pixel_numbers = 1024;

/// How an image becomes a vector of pixels: as it is, or averaged over squares of side `pool`.
struct PixelSpace {
  ImageShape shape;
  std::int64_t pool = 1;
  std::int64_t dimensions() const;
  /// "pixels", or "pixels averaged over 2x2".
  std::string name() const;
};
PixelSpace pixel_space(const ImageShape& shape);

/// images [n, channels, height, width] as vectors [n, dimensions()]. At the lower and right edge squares may be cut.
std::vector<float> pixel_vectors(const std::vector<float>& images, const PixelSpace& space);

/// `count` images of a split as a network sees them, evenly spaced through it; all when there are fewer.
struct RealImages {
  std::vector<float> images;
  std::vector<std::int32_t> labels;
  std::int64_t count() const { return static_cast<std::int64_t>(labels.size()); }
};
RealImages real_images(const ImageDataset& data, Split split, std::int64_t count);

}  // namespace blocktrain::trainer
