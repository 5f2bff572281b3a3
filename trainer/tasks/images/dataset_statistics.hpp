#pragma once
/// Figures of a whole data set: what identifies it, how far its pixels spread, how often each class is there.

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/tasks/images/image_dataset.hpp"

namespace blocktrain::trainer {

/// SHA-256, in hex, that tells one data set from another; a resumed run compares it. Quick (a few milliseconds for
/// 150 MB), hence not every pixel: over the format, the image shape, the number of classes, the counts of both splits,
/// and of each decoded file its size and 64 evenly spaced pieces of 4 KiB (a file of up to 256 KiB: all of it), then
/// all labels of both splits. The same whether files are plain or compressed, and wherever they lie.
std::string dataset_digest(const ImageDataset& data);

/// Deviation per component of the training images as the network sees them (pixels.hpp): root-mean-square distance
/// from the mean over all pixels, of up to 10,000 images chosen by a fixed key; exact in integers until the last step,
/// so the same everywhere (method: section 1, sd_y of inference). 0 for a data set of one colour.
double data_deviation(const ImageDataset& data);

/// Training images of each class.
std::vector<std::int64_t> training_class_counts(const ImageDataset& data);

}  // namespace blocktrain::trainer
