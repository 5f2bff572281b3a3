// Pictures: where images land, and that libpng reads back what was written.

#include "trainer/tasks/images/picture.hpp"

#include <png.h>

#include <boost/test/unit_test.hpp>
#include <string>
#include <vector>

#include "kernels/error.hpp"
#include "trainer/tasks/images/pixels.hpp"

namespace blocktrain::trainer {
namespace {

/// Reads a PNG from memory by libpng's simplified interface.
Picture read_png(const std::vector<std::uint8_t>& bytes) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  BOOST_REQUIRE_MESSAGE(png_image_begin_read_from_memory(&image, bytes.data(), bytes.size()) != 0, image.message);
  Picture p;
  p.channels = (image.format & PNG_FORMAT_FLAG_COLOR) != 0 ? 3 : 1;
  image.format = p.channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  p.width = image.width;
  p.height = image.height;
  p.pixels.resize(PNG_IMAGE_SIZE(image));
  BOOST_REQUIRE_MESSAGE(png_image_finish_read(&image, nullptr, p.pixels.data(), 0, nullptr) != 0, image.message);
  return p;
}

Picture pattern(std::int64_t width, std::int64_t height, int channels) {
  Picture p{width, height, channels, {}};
  for (std::int64_t i = 0; i < width * height * channels; ++i) p.pixels.push_back(static_cast<std::uint8_t>(i * 37));
  return p;
}

void check_equal(const Picture& a, const Picture& b) {
  BOOST_TEST(a.width == b.width);
  BOOST_TEST(a.height == b.height);
  BOOST_TEST(a.channels == b.channels);
  BOOST_TEST(a.pixels == b.pixels, boost::test_tools::per_element());
}

}  // namespace

BOOST_AUTO_TEST_CASE(grey_and_colour_pictures_come_back) {
  for (const int channels : {1, 3}) {
    const Picture p = pattern(23, 11, channels);
    check_equal(read_png(to_png(p, {})), p);
  }
}

BOOST_AUTO_TEST_CASE(texts_are_in_the_file) {
  const std::vector<std::uint8_t> png =
      to_png(pattern(2, 2, 1), {{"Software", "a program"}, {"Description", "18 steps"}});
  const std::string bytes(png.begin(), png.end());
  BOOST_TEST(bytes.find("tEXtSoftware") != std::string::npos);
  BOOST_TEST(bytes.find(std::string("Description") + '\0' + "18 steps") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(images_stand_in_rows_enlarged_by_whole_pixels) {
  // Three 2x1 images in rows of two, 3x3 screen pixels per pixel.
  const std::vector<float> images{-1, 1, 0, 5, -7, 1};
  const Picture p = draw_grid(images, {1, 1, 2}, {2, 3});
  BOOST_TEST(p.width == 2 * (2 * 3 + 2) + 2);
  BOOST_TEST(p.height == 2 * (3 + 2) + 2);
  const auto at = [&](std::int64_t x, std::int64_t y) {
    return static_cast<int>(p.pixels[static_cast<std::size_t>(y * p.width + x)]);
  };
  const int between = at(0, 0);
  for (int y = 0; y < 3; ++y) {
    for (int x = 0; x < 3; ++x) {
      BOOST_TEST(at(2 + x, 2 + y) == 0);
      BOOST_TEST(at(5 + x, 2 + y) == 255);
      BOOST_TEST(at(10 + x, 2 + y) == static_cast<int>(to_pixel(0)));
      BOOST_TEST(at(13 + x, 2 + y) == 255);      // clamped
      BOOST_TEST(at(2 + x, 7 + y) == 0);         // clamped
      BOOST_TEST(at(10 + x, 7 + y) == between);  // no fourth image
    }
  }
  BOOST_TEST(at(8, 3) == between);
  BOOST_TEST(at(9, 3) == between);
}

BOOST_AUTO_TEST_CASE(colours_are_interleaved) {
  const Picture p = draw_grid({1, -1, 0}, {3, 1, 1}, {1, 1});
  BOOST_TEST(p.channels == 3);
  const auto* pixel = p.pixels.data() + (2 * p.width + 2) * 3;
  BOOST_TEST(pixel[0] == 255);
  BOOST_TEST(pixel[1] == 0);
  BOOST_TEST(pixel[2] == to_pixel(0));
}

BOOST_AUTO_TEST_CASE(two_pictures_stand_side_by_side) {
  const Picture left = pattern(4, 3, 1), right = pattern(2, 3, 1), both = side_by_side(left, right);
  BOOST_TEST(both.width > 6);
  BOOST_REQUIRE(both.height == 3);
  for (std::int64_t y = 0; y < 3; ++y) {
    const auto row = both.pixels.begin() + y * both.width;
    BOOST_TEST(std::equal(row, row + 4, left.pixels.begin() + y * 4));
    BOOST_TEST(std::equal(row + both.width - 2, row + both.width, right.pixels.begin() + y * 2));
  }
}

BOOST_AUTO_TEST_CASE(a_grid_keeps_classes_in_columns_and_fits_a_screen) {
  BOOST_TEST(choose_grid({1, 8, 8}, 64, 10, 1).columns == 10);
  BOOST_TEST(choose_grid({1, 8, 8}, 64, 3, 1).columns == 6);
  BOOST_TEST(choose_grid({3, 32, 32}, 64, 100, 1).columns == 8);
  BOOST_TEST(choose_grid({1, 8, 8}, 4, 10, 1).columns == 4);
  BOOST_TEST(choose_grid({1, 8, 8}, 1, 1, 1).columns == 1);
  for (const std::int64_t count : {1, 10, 64, 400}) {
    for (const int beside : {1, 2}) {
      const Grid g = choose_grid({1, 28, 28}, count, 10, beside);
      BOOST_TEST(g.scale >= 1);
      BOOST_TEST((g.scale == 1 || beside * (g.columns * (28 * g.scale + 2) + 2) <= 1010));
    }
  }
}

BOOST_AUTO_TEST_CASE(what_cannot_be_drawn_is_refused) {
  BOOST_CHECK_THROW(draw_grid(std::vector<float>(8), {2, 2, 2}, {1, 1}), InputError);
  BOOST_CHECK_THROW(draw_grid(std::vector<float>(4 * 300), {1, 2, 2}, {1, 64}), InputError);    // too high
  BOOST_CHECK_THROW(draw_grid(std::vector<float>(4 * 300), {1, 2, 2}, {300, 64}), InputError);  // too wide
}

}  // namespace blocktrain::trainer
