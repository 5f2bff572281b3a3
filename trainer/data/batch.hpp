#pragma once
/// Images and labels as the block step takes them: on the host, in memory bound from an arena.

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/arena.hpp"
#include "trainer/tasks/images/image_dataset.hpp"

namespace blocktrain::trainer {

struct Batch {
  std::uint32_t step = 0;
  std::uint32_t first_sample = 0;  ///< index in the global batch of row 0
  kernels::Tensor images;          ///< float32 [rows, channels, height, width], in [-1, 1] (pixels.hpp)
  kernels::Tensor labels;          ///< int32 [rows]
};

/// One batch of `rows` images, bound from `arena`; on a measuring arena it is only counted.
Batch bind_batch(kernels::Arena& arena, const ImageShape& shape, std::int64_t rows);

/// Row r of `batch` = image indices[r] of `split` with its label. `indices` has as many entries as the batch has rows,
/// each in [0, count(split)). Direct access, for evaluation: no order, no flips. Throws RunError as
/// ImageDataset::require_unchanged() does.
void fill_batch(const ImageDataset& data, Split split, std::span<const std::int64_t> indices, const Batch& batch);

/// One image as the network sees it, `out` of shape().size() floats; mirrored left to right with `flip`. Whether the
/// file is still what it was is to be asked afterwards, ImageDataset::require_unchanged().
void fill_image(const ImageDataset& data, Split split, std::int64_t index, bool flip, float* out);

/// Whether `sample` of the global batch is mirrored at `step`: one half of them, keyed by Purpose::flip.
bool is_flipped(std::uint64_t seed, std::uint32_t step, std::uint32_t sample);

}  // namespace blocktrain::trainer
