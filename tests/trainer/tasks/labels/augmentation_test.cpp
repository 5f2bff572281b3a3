// Augmentation: the bytes of torchvision's operations, and what is drawn for which sample.

#include "trainer/tasks/labels/augmentation.hpp"

#include <algorithm>
#include <array>
#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "kernels/random.hpp"

namespace blocktrain::trainer {
namespace {

constexpr std::array<int, 5> kMagnitudes = {0, 4, 9, 22, 30};

/// The images of tests/fixtures/rand-augment/generate.py.
std::vector<std::uint8_t> pattern(std::int64_t channels, std::int64_t height, std::int64_t width) {
  std::vector<std::uint8_t> pixels;
  for (std::int64_t c = 0; c < channels; ++c) {
    for (std::int64_t y = 0; y < height; ++y) {
      for (std::int64_t x = 0; x < width; ++x) {
        const std::int64_t value = (20 + 61 * c + 3 * y * y + 7 * x * y + 11 * x) % 256;
        pixels.push_back(static_cast<std::uint8_t>((x + y) % 5 == 0 ? value / 2 : value));
      }
    }
  }
  return pixels;
}

std::vector<std::uint8_t> expected() {
  const char* source = std::getenv("BLOCKTRAIN_TEST_SOURCE_DIR");
  std::ifstream file(std::string(source == nullptr ? "." : source) + "/tests/fixtures/rand-augment/expected.bin",
                     std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

struct Picture {
  explicit Picture(std::int64_t channels, std::int64_t height, std::int64_t width)
      : bytes(pattern(channels, height, width)), scratch(bytes.size()), image{bytes.data(), channels, height, width} {}
  Picture(const Picture&) = delete;
  Picture& operator=(const Picture&) = delete;
  std::vector<std::uint8_t> bytes, scratch;
  ByteImage image;
};

BOOST_AUTO_TEST_CASE(every_operation_has_the_bytes_of_torchvision) {
  const std::vector<std::uint8_t> want = expected();
  const std::array<std::array<std::int64_t, 3>, 2> shapes = {{{3, 9, 12}, {1, 8, 7}}};
  std::size_t at = 0;
  for (const auto& [channels, height, width] : shapes) {
    for (int o = 0; o < image_operations; ++o) {
      const auto operation = static_cast<ImageOperation>(o);
      for (const int magnitude : kMagnitudes) {
        for (const int sign : {1, -1}) {
          Picture p(channels, height, width);
          const double plain = strength(operation, magnitude, height, width);
          apply(operation, has_sign(operation) ? sign * plain : plain, p.image, p.scratch);
          BOOST_REQUIRE_LE(at + p.bytes.size(), want.size());
          const bool same = std::equal(p.bytes.begin(), p.bytes.end(), want.begin() + static_cast<std::ptrdiff_t>(at));
          BOOST_TEST(same, to_string(operation) << ", magnitude " << sign * magnitude << ", " << channels << "x"
                                                << height << "x" << width);
          at += p.bytes.size();
        }
      }
    }
  }
  BOOST_TEST(at == want.size());
}

BOOST_AUTO_TEST_CASE(small_and_flat_images_are_served) {
  for (int o = 0; o < image_operations; ++o) {
    const auto operation = static_cast<ImageOperation>(o);
    std::array<std::uint8_t, 2> pixel = {77, 77}, scratch{};
    apply(operation, strength(operation, 9, 1, 2), {pixel.data(), 1, 1, 2}, scratch);
    if (operation == ImageOperation::equalize || operation == ImageOperation::auto_contrast ||
        operation == ImageOperation::contrast || operation == ImageOperation::color) {
      BOOST_TEST(pixel[0] == 77, to_string(operation));
    }
  }
}

BOOST_AUTO_TEST_CASE(what_is_drawn_follows_from_the_sample_alone) {
  const Augmentation all{.flip = true, .crop_padding = 2, .operations = 2, .magnitude = 9};
  const auto made = [&](const SampleKey& key) {
    Picture p(3, 9, 12);
    augment(all, key, p.image, p.scratch);
    return p.bytes;
  };
  BOOST_TEST(made({1, 2, 3}) == made({1, 2, 3}));
  int other_seed = 0, other_step = 0, other_sample = 0;
  for (std::uint32_t i = 0; i < 32; ++i) {
    const auto one = made({1, i, 3});
    other_seed += one != made({2, i, 3});
    other_step += one != made({1, i + 100, 3});
    other_sample += one != made({1, i, 4});
  }
  BOOST_TEST(other_seed >= 30);
  BOOST_TEST(other_step >= 30);
  BOOST_TEST(other_sample >= 30);
}

BOOST_AUTO_TEST_CASE(nothing_asked_for_changes_nothing) {
  Picture p(3, 9, 12);
  augment({}, {5, 6, 7}, p.image, p.scratch);
  BOOST_TEST(p.bytes == pattern(3, 9, 12));
  BOOST_TEST(Augmentation{}.none());
  BOOST_TEST(!Augmentation{.operations = 1}.none());
}

BOOST_AUTO_TEST_CASE(crops_take_every_place_and_fill_with_black) {
  constexpr int padding = 2;
  const std::vector<std::uint8_t> before(5 * 6, 200);
  std::map<std::pair<int, int>, int> places;
  for (std::uint32_t sample = 0; sample < 2000; ++sample) {
    std::vector<std::uint8_t> pixels = before, scratch(pixels.size());
    augment({.crop_padding = padding}, {9, 0, sample}, {pixels.data(), 1, 5, 6}, scratch);
    // How many rows and columns are black on each side says where the image went.
    const auto row = [&](int y) {
      return std::all_of(&pixels[6 * y], &pixels[6 * y] + 6, [](int v) { return v == 0; });
    };
    const auto column = [&](int x) {
      for (int y = 0; y < 5; ++y)
        if (pixels[static_cast<std::size_t>(6 * y + x)] != 0) return false;
      return true;
    };
    int dx = 0, dy = 0;
    while (row(dy)) ++dy;
    if (dy == 0)
      while (row(4 + dy)) --dy;
    while (column(dx)) ++dx;
    if (dx == 0)
      while (column(5 + dx)) --dx;
    ++places[{dx, dy}];
    const auto kept = std::count(pixels.begin(), pixels.end(), 200);
    BOOST_REQUIRE_EQUAL(kept, (6 - std::abs(dx)) * (5 - std::abs(dy)));
  }
  BOOST_TEST(places.size() == 25);
  for (const auto& [place, times] : places) {
    BOOST_TEST(std::abs(place.first) <= padding);
    BOOST_TEST(times > 40);  // 80 are expected, with a deviation of 9
    BOOST_TEST(times < 120);
  }
}

BOOST_AUTO_TEST_CASE(mirrors_about_half_as_the_flip_of_other_tasks_does) {
  int mirrored = 0;
  for (std::uint32_t sample = 0; sample < 1000; ++sample) {
    std::array<std::uint8_t, 3> pixels = {1, 2, 3}, scratch{};
    augment({.flip = true}, {4, 7, sample}, {pixels.data(), 1, 1, 3}, scratch);
    const bool flips = kernels::uniform_open(kernels::random_words({4, kernels::Purpose::flip}, 7, sample, 0)[0]) < 0.5;
    BOOST_TEST((pixels == (flips ? std::array<std::uint8_t, 3>{3, 2, 1} : std::array<std::uint8_t, 3>{1, 2, 3})));
    mirrored += flips;
  }
  BOOST_TEST(mirrored > 400);
  BOOST_TEST(mirrored < 600);
}

BOOST_AUTO_TEST_CASE(operations_and_signs_are_drawn_evenly) {
  // A grey ramp tells operations apart by what they do to it; here only that all of them come up, with both signs.
  std::map<std::vector<std::uint8_t>, int> results;
  for (std::uint32_t sample = 0; sample < 3000; ++sample) {
    Picture p(3, 9, 12);
    augment({.operations = 1, .magnitude = 9}, {3, 1, sample}, p.image, p.scratch);
    ++results[p.bytes];
  }
  // 14 operations, nine of them with two signs; identity is as good as none.
  for (int o = 0; o < image_operations; ++o) {
    const auto operation = static_cast<ImageOperation>(o);
    for (const int sign : {1, -1}) {
      Picture p(3, 9, 12);
      const double plain = strength(operation, 9, 9, 12);
      apply(operation, has_sign(operation) ? sign * plain : plain, p.image, p.scratch);
      BOOST_TEST(results[p.bytes] > (has_sign(operation) ? 60 : 140), to_string(operation) << " " << sign);
    }
  }
}

}  // namespace
}  // namespace blocktrain::trainer
