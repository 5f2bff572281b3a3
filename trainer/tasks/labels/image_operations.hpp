#pragma once
/// The operations of RandAugment on one image of bytes, with the results of torchvision's functions for tensors of
/// uint8 (shears, translations and rotations by the nearest pixel, what comes from outside is 0).

#include <cstdint>
#include <span>
#include <string_view>

namespace blocktrain::trainer {

/// In torchvision's order, which the drawing of one goes by.
enum class ImageOperation : std::uint8_t {
  identity,
  shear_x,
  shear_y,
  translate_x,
  translate_y,
  rotate,
  brightness,
  color,
  contrast,
  sharpness,
  posterize,
  solarize,
  auto_contrast,
  equalize,
};
inline constexpr int image_operations = 14;

/// "shear_x", ...
std::string_view to_string(ImageOperation operation);

/// Pixels [channels, height, width] of bytes; 1 or 3 channels (grey, or red, green, blue).
struct ByteImage {
  std::uint8_t* pixels = nullptr;
  std::int64_t channels = 0, height = 0, width = 0;
  std::int64_t plane() const { return height * width; }
  std::int64_t size() const { return channels * plane(); }
};

/// Strengths of RandAugment: bins 0 (nothing) to 30.
inline constexpr int most_magnitude = 30;

/// What `magnitude` (0 to 30) means for the operation on an image of this size, in its own unit: a slope, pixels,
/// degrees, a change of a factor, bits kept, a threshold. 0 for operations that have none.
double strength(ImageOperation operation, int magnitude, std::int64_t height, std::int64_t width);

/// Whether the strength is drawn with a sign.
bool has_sign(ImageOperation operation);

/// Applies the operation to the image in place. `strength` as above, with its sign; `scratch` holds image.size() bytes
/// and is overwritten.
void apply(ImageOperation operation, double strength, const ByteImage& image, std::span<std::uint8_t> scratch);

}  // namespace blocktrain::trainer
