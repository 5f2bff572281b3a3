#pragma once
/// The image of a sample as an architecture needs it that cuts it into patches.

#include <cstdint>
#include <string>

#include "blocks/batch.hpp"

namespace blocktrain::blocks {

struct ImageSize {
  std::int64_t channels = 1, height = 1, width = 1;
};

/// Of the field "image" of `layout`, for patches of `patch` x `patch` pixels. Throws InputError, naming `architecture`
/// or the key, when there is none or patches do not divide it.
ImageSize image_of(const SampleLayout& layout, int patch, const std::string& architecture);

}  // namespace blocktrain::blocks
