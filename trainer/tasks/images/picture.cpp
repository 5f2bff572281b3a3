#include "trainer/tasks/images/picture.hpp"

#include <fmt/format.h>
#include <png.h>

#include <algorithm>
#include <cmath>

#include "kernels/error.hpp"
#include "trainer/tasks/images/pixels.hpp"

namespace blocktrain::trainer {
namespace {

constexpr std::int64_t gap = 2;              // screen pixels between images
constexpr std::int64_t most_pixels = 16384;  // per side of a picture
constexpr std::uint8_t gap_value = 64;       // dark grey: neither ink nor paper
constexpr std::uint8_t separator_value = 224;
constexpr std::int64_t separator_pixels = 3;

[[noreturn]] void on_png_error(png_structp, png_const_charp message) {
  throw RunError(std::string("libpng could not write a picture: ") + message);
}

void on_png_warning(png_structp, png_const_charp) {}

void append(png_structp png, png_bytep data, png_size_t size) {
  auto* out = static_cast<std::vector<std::uint8_t>*>(png_get_io_ptr(png));
  out->insert(out->end(), data, data + size);
}

/// libpng's write struct, destroyed at the end of its scope.
struct PngWriter {
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, on_png_error, on_png_warning);
  png_infop info = png != nullptr ? png_create_info_struct(png) : nullptr;
  PngWriter() = default;
  PngWriter(const PngWriter&) = delete;
  PngWriter& operator=(const PngWriter&) = delete;
  ~PngWriter() { png_destroy_write_struct(&png, &info); }
};

}  // namespace

Grid choose_grid(const ImageShape& shape, std::int64_t count, std::int64_t period, int beside) {
  const auto square = static_cast<std::int64_t>(std::ceil(std::sqrt(static_cast<double>(count))));
  Grid grid;
  grid.columns = square;
  if (period >= 2 && period <= square) grid.columns = square / period * period;
  if (period > square && period <= 20) grid.columns = period;
  grid.columns = std::clamp<std::int64_t>(grid.columns, 1, count);
  constexpr std::int64_t wide = 1000, largest = 16;
  const std::int64_t available = wide / beside / grid.columns - gap;
  grid.scale = std::clamp<std::int64_t>(available / shape.width, 1, largest);
  return grid;
}

Picture draw_grid(const std::vector<float>& images, const ImageShape& shape, const Grid& grid) {
  BLOCKTRAIN_EXPECTS(grid.columns >= 1 && grid.scale >= 1 && !images.empty());
  if (shape.channels != 1 && shape.channels != 3) {
    throw InputError(
        fmt::format("images of {} channels cannot be drawn: found {}, accepted: 1 (grey) or 3 (red, green, blue). "
                    "`blocktrain export` writes the network for PyTorch, where they can be sampled and looked at "
                    "channel by channel",
                    shape.channels, to_string(shape)));
  }
  const std::int64_t count = static_cast<std::int64_t>(images.size()) / shape.size();
  const std::int64_t rows = (count + grid.columns - 1) / grid.columns;
  const std::int64_t cell_width = shape.width * grid.scale + gap, cell_height = shape.height * grid.scale + gap;
  if (grid.columns > most_pixels / cell_width || rows > most_pixels / cell_height) {
    throw InputError(
        fmt::format("{} images at scale {} would make a picture of {}x{} pixels; accepted: up to {} each way. Take a "
                    "smaller --scale or --count",
                    count, grid.scale, grid.columns * cell_width, rows * cell_height, most_pixels));
  }
  Picture p;
  p.channels = static_cast<int>(shape.channels);
  p.width = grid.columns * cell_width + gap;
  p.height = rows * cell_height + gap;
  p.pixels.assign(static_cast<std::size_t>(p.width * p.height * p.channels), gap_value);
  for (std::int64_t i = 0; i < count; ++i) {
    const float* image = images.data() + i * shape.size();
    const std::int64_t left = gap + i % grid.columns * cell_width, top = gap + i / grid.columns * cell_height;
    for (std::int64_t y = 0; y < shape.height * grid.scale; ++y) {
      std::uint8_t* out = p.pixels.data() + ((top + y) * p.width + left) * p.channels;
      for (std::int64_t x = 0; x < shape.width * grid.scale; ++x) {
        for (std::int64_t c = 0; c < shape.channels; ++c) {
          *out++ = to_pixel(image[(c * shape.height + y / grid.scale) * shape.width + x / grid.scale]);
        }
      }
    }
  }
  return p;
}

Picture side_by_side(const Picture& left, const Picture& right) {
  BLOCKTRAIN_EXPECTS(left.height == right.height && left.channels == right.channels);
  Picture p;
  p.channels = left.channels;
  p.height = left.height;
  p.width = left.width + separator_pixels + right.width;
  for (std::int64_t y = 0; y < p.height; ++y) {
    const auto row = [&](const Picture& from) {
      const auto begin = from.pixels.begin() + y * from.width * from.channels;
      p.pixels.insert(p.pixels.end(), begin, begin + from.width * from.channels);
    };
    row(left);
    p.pixels.insert(p.pixels.end(), static_cast<std::size_t>(separator_pixels * p.channels), separator_value);
    row(right);
  }
  return p;
}

const FileKind& picture_kind() {
  using namespace std::string_view_literals;
  static constexpr FileKind kind{"a picture that blocktrain made", [](const std::string& path) {
                                   // Texts come before the pixels.
                                   const std::string contents = beginning_of(path, 4096);
                                   return contents.starts_with("\x89PNG\r\n\x1a\n"sv) &&
                                          contents.find("tEXtSoftware\0blocktrain"sv) != std::string::npos;
                                 }};
  return kind;
}

std::vector<std::uint8_t> to_png(const Picture& picture,
                                 const std::vector<std::pair<std::string, std::string>>& texts) {
  std::vector<std::uint8_t> out;
  PngWriter writer;
  if (writer.info == nullptr) throw RunError("libpng could not start writing a picture");
  png_set_write_fn(writer.png, &out, append, nullptr);
  png_set_IHDR(writer.png, writer.info, static_cast<png_uint_32>(picture.width),
               static_cast<png_uint_32>(picture.height), 8,
               picture.channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  std::vector<std::pair<std::string, std::string>> kept = texts;  // libpng wants them writable
  std::vector<png_text> entries;
  for (auto& [key, value] : kept) {
    png_text t{};
    t.compression = PNG_TEXT_COMPRESSION_NONE;
    t.key = key.data();
    t.text = value.data();
    t.text_length = value.size();
    entries.push_back(t);
  }
  if (!entries.empty()) png_set_text(writer.png, writer.info, entries.data(), static_cast<int>(entries.size()));
  png_write_info(writer.png, writer.info);
  const std::int64_t stride = picture.width * picture.channels;
  for (std::int64_t y = 0; y < picture.height; ++y) png_write_row(writer.png, picture.pixels.data() + y * stride);
  png_write_end(writer.png, writer.info);
  return out;
}

}  // namespace blocktrain::trainer
