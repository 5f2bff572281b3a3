#pragma once
/// What becomes of a training image before a classifier sees it: mirrored, cropped out of a frame, changed by
/// RandAugment (Cubuk et al. 2020). All of it follows from (seed, step, index of the sample in the global batch): every
/// block and every placement sees the same image.

#include <cstdint>
#include <span>

#include "trainer/tasks/images/flip.hpp"
#include "trainer/tasks/labels/image_operations.hpp"

namespace blocktrain::trainer {

struct Augmentation {
  bool flip = false;     ///< mirrors half of the images left to right
  int crop_padding = 0;  ///< pixels of black on each side, of which a part of the image's own size is cut out
  int operations = 0;    ///< of RandAugment, one after the other; 0: none
  int magnitude = 9;     ///< of these, 0 to 30
  bool none() const { return !flip && crop_padding == 0 && operations == 0; }
};

/// Changes the image in place. `scratch` holds image.size() bytes and is overwritten.
void augment(const Augmentation& augmentation, const SampleKey& key, const ByteImage& image,
             std::span<std::uint8_t> scratch);

}  // namespace blocktrain::trainer
