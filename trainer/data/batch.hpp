#pragma once
/// Batches of images with their labels, filled in host memory: float32 [rows, channels, height, width] in [-1, 1]
/// (pixels.hpp), int32 [rows] (image_layout.hpp).

#include <cstdint>
#include <span>

#include "blocks/batch.hpp"
#include "trainer/tasks/images/image_dataset.hpp"

namespace blocktrain::trainer {

/// Row r of `batch` = image indices[r] of `split` with its label. `indices` has as many entries as the batch has rows,
/// each in [0, count(split)). Direct access, for evaluation: no order, no flips. Throws RunError as
/// ImageDataset::require_unchanged() does.
void fill_batch(const ImageDataset& data, Split split, std::span<const std::int64_t> indices,
                const blocks::Batch& batch);
/// The same for images first, first + 1, ... of `split`.
void fill_batch(const ImageDataset& data, Split split, std::int64_t first, const blocks::Batch& batch);

/// Row `row` of `batch` = image `index` of `split` with its label, mirrored left to right with `flip`; otherwise as
/// fill_image().
void fill_row(const ImageDataset& data, Split split, std::int64_t index, bool flip, const blocks::Batch& batch,
              std::int64_t row);

/// One image as the network sees it, `out` of shape().size() floats; mirrored left to right with `flip`. Whether the
/// file is still what it was is to be asked afterwards, ImageDataset::require_unchanged().
void fill_image(const ImageDataset& data, Split split, std::int64_t index, bool flip, float* out);

/// Whether `sample` of the global batch is mirrored at `step`: one half of them, keyed by Purpose::flip.
bool is_flipped(std::uint64_t seed, std::uint32_t step, std::uint32_t sample);

}  // namespace blocktrain::trainer
