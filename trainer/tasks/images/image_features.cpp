#include "trainer/tasks/images/image_features.hpp"

#include <algorithm>
#include <cstdint>

#include "trainer/tasks/images/image_samples.hpp"

namespace blocktrain::trainer {
namespace {

std::int64_t pooled(std::int64_t side, std::int64_t pool) { return (side + pool - 1) / pool; }

}  // namespace

std::int64_t PixelSpace::dimensions() const {
  return shape.channels * pooled(shape.height, pool) * pooled(shape.width, pool);
}

std::string PixelSpace::name() const {
  return pool == 1 ? "pixels" : "pixels averaged over " + std::to_string(pool) + "x" + std::to_string(pool);
}

PixelSpace pixel_space(const ImageShape& shape) {
  PixelSpace space{shape, 1};
  if (shape.size() <= most_pixel_numbers) return space;
  constexpr std::int64_t largest_side = 16;
  const std::int64_t longest = std::max(shape.height, shape.width);
  while (space.pool < longest &&
         (pooled(longest, space.pool) > largest_side || space.dimensions() > most_pixel_numbers)) {
    ++space.pool;
  }
  return space;
}

std::vector<float> pixel_vectors(const std::vector<float>& images, const PixelSpace& space) {
  if (space.pool == 1) return images;
  const ImageShape& s = space.shape;
  const std::int64_t count = static_cast<std::int64_t>(images.size()) / s.size();
  std::vector<float> out;
  out.reserve(static_cast<std::size_t>(count * space.dimensions()));
  for (std::int64_t plane = 0; plane < count * s.channels; ++plane) {
    const float* pixels = images.data() + plane * s.height * s.width;
    for (std::int64_t top = 0; top < s.height; top += space.pool) {
      for (std::int64_t left = 0; left < s.width; left += space.pool) {
        const std::int64_t bottom = std::min(top + space.pool, s.height), right = std::min(left + space.pool, s.width);
        double sum = 0;
        for (std::int64_t y = top; y < bottom; ++y) {
          for (std::int64_t x = left; x < right; ++x) sum += pixels[y * s.width + x];
        }
        out.push_back(static_cast<float>(sum / static_cast<double>((bottom - top) * (right - left))));
      }
    }
  }
  return out;
}

RealImages real_images(const ImageDataset& data, Split split, std::int64_t count) {
  const std::int64_t all = data.count(split), n = std::min(count, all), size = data.shape().size();
  RealImages real;
  real.images.resize(static_cast<std::size_t>(n * size));
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t index = i * all / n;
    fill_image(data, split, index, false, real.images.data() + i * size);
    real.labels.push_back(data.label(split, index));
  }
  data.require_unchanged();
  return real;
}

}  // namespace blocktrain::trainer
