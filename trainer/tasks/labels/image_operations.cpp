#include "trainer/tasks/labels/image_operations.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numbers>

#include "kernels/error.hpp"

namespace blocktrain::trainer {
namespace {

constexpr std::array<std::string_view, image_operations> kNames = {
    "identity", "shear_x",  "shear_y",   "translate_x", "translate_y", "rotate",        "brightness",
    "color",    "contrast", "sharpness", "posterize",   "solarize",    "auto_contrast", "equalize"};

/// The source's place of an output pixel, both counted from the image's centre: [a b c; d e f].
struct AffineMap {
  double a = 1, b = 0, c = 0, d = 0, e = 1, f = 0;
};

std::span<std::uint8_t> plane_of(const ByteImage& image, std::int64_t channel) {
  return {image.pixels + channel * image.plane(), static_cast<std::size_t>(image.plane())};
}

void resample(const ByteImage& image, const AffineMap& map, std::span<std::uint8_t> scratch) {
  std::copy_n(image.pixels, image.size(), scratch.begin());
  const double middle_x = static_cast<double>(image.width - 1) / 2,
               middle_y = static_cast<double>(image.height - 1) / 2;
  for (std::int64_t y = 0; y < image.height; ++y) {
    for (std::int64_t x = 0; x < image.width; ++x) {
      const double from_middle_x = static_cast<double>(x) - middle_x, from_middle_y = static_cast<double>(y) - middle_y;
      const auto source_x =
          static_cast<std::int64_t>(std::nearbyint(map.a * from_middle_x + map.b * from_middle_y + map.c + middle_x));
      const auto source_y =
          static_cast<std::int64_t>(std::nearbyint(map.d * from_middle_x + map.e * from_middle_y + map.f + middle_y));
      const bool inside = source_x >= 0 && source_x < image.width && source_y >= 0 && source_y < image.height;
      for (std::int64_t channel = 0; channel < image.channels; ++channel) {
        const std::int64_t start = channel * image.plane();
        image.pixels[start + y * image.width + x] =
            inside ? scratch[static_cast<std::size_t>(start + source_y * image.width + source_x)] : std::uint8_t{0};
      }
    }
  }
}

/// Of a shear that leaves the image's upper left corner where it is. Counted from the centre, pixel edges are half an
/// image away.
AffineMap shear(double slope_x, double slope_y, const ByteImage& image) {
  const double top = -static_cast<double>(image.height) / 2, left = -static_cast<double>(image.width) / 2;
  AffineMap map;
  map.b = slope_x;
  map.c = -slope_x * top;
  map.d = slope_y;
  map.f = -slope_y * left;
  return map;
}

AffineMap rotation(double degrees) {
  const double angle = degrees * std::numbers::pi / 180, cosine = std::cos(angle), sine = std::sin(angle);
  return {cosine, -sine, 0, sine, cosine, 0};
}

/// factor * x + (1 - factor) * other, in float32 as torchvision computes it, cut to a byte.
struct Blend {
  explicit Blend(double factor) : of_image(static_cast<float>(factor)), of_other(static_cast<float>(1 - factor)) {}
  std::uint8_t operator()(float x, float other) const {
    return static_cast<std::uint8_t>(std::clamp(of_image * x + of_other * other, 0.0F, 255.0F));
  }
  float of_image, of_other;
};

std::uint8_t grey(const ByteImage& image, std::int64_t pixel) {
  if (image.channels == 1) return image.pixels[pixel];
  const float red = image.pixels[pixel], green = image.pixels[image.plane() + pixel],
              blue = image.pixels[2 * image.plane() + pixel];
  return static_cast<std::uint8_t>(0.2989F * red + 0.587F * green + 0.114F * blue);
}

void adjust_brightness(const ByteImage& image, double factor) {
  const Blend blend(factor);
  for (std::uint8_t& pixel : std::span(image.pixels, static_cast<std::size_t>(image.size()))) pixel = blend(pixel, 0);
}

void adjust_color(const ByteImage& image, double factor) {
  if (image.channels == 1) return;
  const Blend blend(factor);
  for (std::int64_t i = 0; i < image.plane(); ++i) {
    const float other = grey(image, i);
    for (std::int64_t channel = 0; channel < image.channels; ++channel) {
      std::uint8_t& pixel = image.pixels[channel * image.plane() + i];
      pixel = blend(pixel, other);
    }
  }
}

void adjust_contrast(const ByteImage& image, double factor) {
  std::int64_t sum = 0;
  for (std::int64_t i = 0; i < image.plane(); ++i) sum += grey(image, i);
  const auto mean = static_cast<float>(static_cast<double>(sum) / static_cast<double>(image.plane()));
  const Blend blend(factor);
  for (std::uint8_t& pixel : std::span(image.pixels, static_cast<std::size_t>(image.size())))
    pixel = blend(pixel, mean);
}

void adjust_sharpness(const ByteImage& image, double factor, std::span<std::uint8_t> scratch) {
  if (image.height <= 2 || image.width <= 2) return;
  std::copy_n(image.pixels, image.size(), scratch.begin());
  const Blend blend(factor);
  for (std::int64_t channel = 0; channel < image.channels; ++channel) {
    const std::uint8_t* from = scratch.data() + channel * image.plane();
    std::uint8_t* to = image.pixels + channel * image.plane();
    for (std::int64_t y = 0; y < image.height; ++y) {
      for (std::int64_t x = 0; x < image.width; ++x) {
        const std::int64_t at = y * image.width + x;
        float smooth = from[at];
        if (y > 0 && y + 1 < image.height && x > 0 && x + 1 < image.width) {
          int sum = 4 * from[at];
          for (std::int64_t dy = -1; dy <= 1; ++dy) {
            for (std::int64_t dx = -1; dx <= 1; ++dx) sum += from[at + dy * image.width + dx];
          }
          smooth = std::nearbyint(static_cast<float>(sum) / 13.0F);
        }
        to[at] = blend(from[at], smooth);
      }
    }
  }
}

void auto_contrast(std::span<std::uint8_t> plane) {
  const auto [low, high] = std::ranges::minmax(plane);
  if (low == high) return;
  const float scale = 255.0F / static_cast<float>(high - low);
  for (std::uint8_t& pixel : plane) {
    pixel = static_cast<std::uint8_t>(std::clamp(static_cast<float>(pixel - low) * scale, 0.0F, 255.0F));
  }
}

void equalize(std::span<std::uint8_t> plane) {
  std::array<std::int64_t, 256> count{};
  for (const std::uint8_t pixel : plane) ++count[pixel];
  const std::int64_t brightest = *std::find_if(count.rbegin(), count.rend(), [](std::int64_t n) { return n > 0; });
  const std::int64_t step = (static_cast<std::int64_t>(plane.size()) - brightest) / 255;
  if (step == 0) return;
  std::array<std::uint8_t, 256> table{};
  std::int64_t darker = 0;
  for (std::size_t value = 0; value < 256; ++value) {
    table[value] = value == 0 ? std::uint8_t{0}
                              : static_cast<std::uint8_t>(std::min<std::int64_t>((darker + step / 2) / step, 255));
    darker += count[value];
  }
  for (std::uint8_t& pixel : plane) pixel = table[pixel];
}

/// The place `magnitude` of most_magnitude on the way from 0 to `end`, in float32 as torch.linspace has it: bytes hang
/// on its last bit.
double place(double end, int magnitude) {
  const auto last = static_cast<float>(end), step = last / most_magnitude;
  const float value = 2 * magnitude < most_magnitude ? step * static_cast<float>(magnitude)
                                                     : last - step * static_cast<float>(most_magnitude - magnitude);
  return value;
}

}  // namespace

std::string_view to_string(ImageOperation operation) { return kNames[static_cast<std::size_t>(operation)]; }

double strength(ImageOperation operation, int magnitude, std::int64_t height, std::int64_t width) {
  BLOCKTRAIN_EXPECTS(magnitude >= 0 && magnitude <= most_magnitude);
  switch (operation) {
    case ImageOperation::shear_x:
    case ImageOperation::shear_y:
      return place(0.3, magnitude);
    case ImageOperation::translate_x:
      return std::trunc(place(150.0 / 331 * static_cast<double>(width), magnitude));
    case ImageOperation::translate_y:
      return std::trunc(place(150.0 / 331 * static_cast<double>(height), magnitude));
    case ImageOperation::rotate:
      return place(30, magnitude);
    case ImageOperation::brightness:
    case ImageOperation::color:
    case ImageOperation::contrast:
    case ImageOperation::sharpness:
      return place(0.9, magnitude);
    case ImageOperation::posterize:
      return 8 - std::nearbyint(4.0 * magnitude / most_magnitude);
    case ImageOperation::solarize:
      return 255 - place(255, magnitude);
    case ImageOperation::identity:
    case ImageOperation::auto_contrast:
    case ImageOperation::equalize:
      return 0;
  }
  return 0;
}

bool has_sign(ImageOperation operation) {
  return operation >= ImageOperation::shear_x && operation <= ImageOperation::sharpness;
}

void apply(ImageOperation operation, double strength, const ByteImage& image, std::span<std::uint8_t> scratch) {
  BLOCKTRAIN_EXPECTS(image.channels == 1 || image.channels == 3);
  BLOCKTRAIN_EXPECTS(image.height >= 1 && image.width >= 1);
  BLOCKTRAIN_EXPECTS(std::ssize(scratch) >= image.size());
  const std::span<std::uint8_t> all(image.pixels, static_cast<std::size_t>(image.size()));
  switch (operation) {
    case ImageOperation::identity:
      return;
    case ImageOperation::shear_x:
      return resample(image, shear(strength, 0, image), scratch);
    case ImageOperation::shear_y:
      return resample(image, shear(0, strength, image), scratch);
    case ImageOperation::translate_x:
      return resample(image, {1, 0, -strength, 0, 1, 0}, scratch);
    case ImageOperation::translate_y:
      return resample(image, {1, 0, 0, 0, 1, -strength}, scratch);
    case ImageOperation::rotate:
      return resample(image, rotation(strength), scratch);
    case ImageOperation::brightness:
      return adjust_brightness(image, 1 + strength);
    case ImageOperation::color:
      return adjust_color(image, 1 + strength);
    case ImageOperation::contrast:
      return adjust_contrast(image, 1 + strength);
    case ImageOperation::sharpness:
      return adjust_sharpness(image, 1 + strength, scratch);
    case ImageOperation::posterize: {
      const auto kept = static_cast<std::uint8_t>(0xff << (8 - static_cast<int>(strength)));
      for (std::uint8_t& pixel : all) pixel = static_cast<std::uint8_t>(pixel & kept);
      return;
    }
    case ImageOperation::solarize:
      for (std::uint8_t& pixel : all) {
        if (static_cast<float>(pixel) >= static_cast<float>(strength)) pixel = static_cast<std::uint8_t>(255 - pixel);
      }
      return;
    case ImageOperation::auto_contrast:
      for (std::int64_t c = 0; c < image.channels; ++c) auto_contrast(plane_of(image, c));
      return;
    case ImageOperation::equalize:
      for (std::int64_t c = 0; c < image.channels; ++c) equalize(plane_of(image, c));
      return;
  }
}

}  // namespace blocktrain::trainer
