#pragma once
/// Where the images and labels of one data file lie in its decoded bytes. Both formats that are read (IDX and
/// CIFAR's binary layout) keep one label byte and one block of pixel bytes per image, at fixed distances.

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/data/samples.hpp"

namespace blocktrain::trainer {

/// Shape of one image: channels, height, width; pixels lie in this order, one byte each.
struct ImageShape {
  std::int64_t channels = 0, height = 0, width = 0;
  std::int64_t size() const { return channels * height * width; }
  bool operator==(const ImageShape&) const = default;
};

/// "3x32x32".
inline std::string to_string(const ImageShape& s) {
  return std::to_string(s.channels) + "x" + std::to_string(s.height) + "x" + std::to_string(s.width);
}

/// Images [0, count) of one file: image i starts at images + i * image_stride, its label is labels[i * label_stride].
struct ImageSegment {
  const std::uint8_t* images = nullptr;
  std::int64_t image_stride = 0;
  const std::uint8_t* labels = nullptr;
  std::int64_t label_stride = 0;
  std::int64_t count = 0;
};

/// Images [begin, end) of `segments` put one after the other.
inline std::vector<ImageSegment> slice(const std::vector<ImageSegment>& segments, std::int64_t begin,
                                       std::int64_t end) {
  std::vector<ImageSegment> part;
  std::int64_t start = 0;  // of the segment at hand
  for (ImageSegment s : segments) {
    const std::int64_t first = begin > start ? begin - start : 0;
    const std::int64_t last = end - start < s.count ? end - start : s.count;
    start += s.count;
    if (first >= last) continue;
    s.images += first * s.image_stride;
    s.labels += first * s.label_stride;
    s.count = last - first;
    part.push_back(s);
  }
  return part;
}

inline constexpr std::int64_t most_images = most_samples;

}  // namespace blocktrain::trainer
