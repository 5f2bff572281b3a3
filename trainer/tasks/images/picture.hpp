#pragma once
/// Pictures of many small images, as PNG.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "trainer/support/whole_file.hpp"
#include "trainer/tasks/images/image_source.hpp"

namespace blocktrain::trainer {

/// Pixels as a screen shows them: rows of `channels` interleaved bytes (1: grey, 3: red, green, blue).
struct Picture {
  std::int64_t width = 0, height = 0;
  int channels = 1;
  std::vector<std::uint8_t> pixels;
};

/// Images in rows of `columns`, each pixel drawn as scale x scale screen pixels, with a gap between images.
struct Grid {
  std::int64_t columns = 1;
  std::int64_t scale = 1;
};

/// A grid that shows `count` images of `shape` well when their classes repeat with period `period`: classes stand in
/// columns where that fits, and `beside` such grids fill about a thousand screen pixels.
Grid choose_grid(const ImageShape& shape, std::int64_t count, std::int64_t period, int beside);

/// Draws images [n, channels, height, width] of values in [-1, 1] (others are clamped). Throws InputError when they
/// have neither 1 nor 3 channels, or the picture would be larger than 16384 pixels in one direction.
Picture draw_grid(const std::vector<float>& images, const ImageShape& shape, const Grid& grid);

/// Two pictures of equal height and channels with a thin light line between.
Picture side_by_side(const Picture& left, const Picture& right);

/// Files of to_png() whose text "Software" names blocktrain.
const FileKind& picture_kind();

/// The file format PNG, 8 bits per channel, with pairs of keyword and text about the picture (Latin-1).
std::vector<std::uint8_t> to_png(const Picture& picture, const std::vector<std::pair<std::string, std::string>>& texts);

}  // namespace blocktrain::trainer
