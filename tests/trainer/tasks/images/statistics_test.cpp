// Digest, deviation and pixel values.

#include <cmath>

#include "tests/trainer/tasks/images/support.hpp"
#include "trainer/data/sample_order.hpp"
#include "trainer/tasks/images/dataset_statistics.hpp"
#include "trainer/tasks/images/pixels.hpp"

namespace blocktrain::trainer {
using namespace test;

BOOST_AUTO_TEST_SUITE(statistics)

BOOST_AUTO_TEST_CASE(digest_notices_every_change_of_a_small_set) {
  const TemporaryFolder folder;
  write_small_idx(folder, 40);
  const std::string digest = dataset_digest(ImageDataset::open(folder.path()));
  BOOST_TEST(digest.size() == 64u);
  BOOST_TEST(digest == dataset_digest(ImageDataset::open(folder.path())));
  for (const char* name : {"train-images-idx3-ubyte", "train-labels-idx1-ubyte"}) {
    const Bytes good = read_file(folder.path() / name);
    for (std::size_t at = good.size() - 40; at < good.size(); ++at) {
      Bytes changed = good;
      changed[at] = static_cast<std::uint8_t>(changed[at] == 0 ? 1 : changed[at] - 1);  // labels stay in range
      folder.write(name, changed);
      BOOST_TEST(digest != dataset_digest(ImageDataset::open(folder.path())));
    }
    folder.write(name, good);
  }
  folder.write("t10k-images-idx3-ubyte", idx({1, 5, 4}, noise(20)));
  folder.write("t10k-labels-idx1-ubyte", idx({1}, {0}));
  BOOST_TEST(digest != dataset_digest(ImageDataset::open(folder.path())));
}

BOOST_AUTO_TEST_CASE(digest_of_a_large_set_sees_its_ends_all_labels_and_other_data) {
  const TemporaryFolder folder;
  const Bytes good = cifar(300, 2, 100);
  const auto digest_of = [&](const Bytes& file) {
    folder.write("train.bin", file);
    return dataset_digest(ImageDataset::open(folder.path()));
  };
  const std::string digest = digest_of(good);
  for (const std::size_t at :
       {std::size_t{2}, good.size() - 1, std::size_t{150 * 3074 + 1}, std::size_t{77 * 3074 + 1}}) {
    Bytes changed = good;
    changed[at] = static_cast<std::uint8_t>(changed[at] == 0 ? 1 : changed[at] - 1);
    BOOST_TEST(digest != digest_of(changed), "byte " << at);
  }
  BOOST_TEST(digest != digest_of(cifar(300, 2, 100, 2)));
  BOOST_TEST(digest != digest_of(cifar(299, 2, 100)));
}

BOOST_AUTO_TEST_CASE(classes_are_counted_in_the_training_images_alone) {
  const TemporaryFolder folder;
  folder.write("train-images-idx3-ubyte", idx({7, 5, 4}, noise(140)));
  folder.write("train-labels-idx1-ubyte", idx({7}, {3, 0, 0, 2, 0, 3, 2}));
  folder.write("t10k-images-idx3-ubyte", idx({2, 5, 4}, noise(40)));
  folder.write("t10k-labels-idx1-ubyte", idx({2}, {1, 1}));
  BOOST_TEST(training_class_counts(ImageDataset::open(folder.path())) == (std::vector<std::int64_t>{3, 0, 2, 2}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(digest_recipe_is_part_of_checkpoints) {
  // Changing the recipe would make every older run look as if its data had changed.
  BOOST_TEST(dataset_digest(ImageDataset::open(fixture_folder())) ==
             "45054bb5a7f4996fde84c477bcfcedd3a2578f04317cba6d40751eb2898947c5");
  // Of a large set parts are read.
  const TemporaryFolder folder;
  folder.write("train.bin", cifar(300, 2, 100));
  BOOST_TEST(dataset_digest(ImageDataset::open(folder.path())) ==
             "bb9638110ff004513dfca4f7537294e0b65a06cc8f7780d1485481209b99bd6a");
}

BOOST_AUTO_TEST_CASE(deviation_is_that_of_all_pixels) {
  const ImageDataset data = ImageDataset::open(fixture_folder());
  std::vector<double> values;
  for (std::int64_t i = 0; i < 60; ++i) {
    for (int e = 0; e < 64; ++e) values.push_back(data.image(Split::train, i)[e] / 255.0 * 2 - 1);
  }
  double mean = 0;
  for (const double v : values) mean += v / static_cast<double>(values.size());
  double square = 0;
  for (const double v : values) square += (v - mean) * (v - mean) / static_cast<double>(values.size());
  BOOST_TEST(data_deviation(data) == std::sqrt(square), boost::test_tools::tolerance(1e-12));
  BOOST_TEST(data_deviation(data) > 0.5);
}

BOOST_AUTO_TEST_CASE(deviation_of_known_sets) {
  const TemporaryFolder folder;
  folder.write("train-labels-idx1-ubyte", idx({40}, cyclic_labels(40, 3)));
  folder.write("train-images-idx3-ubyte", idx({40, 5, 4}, Bytes(800, 77)));
  BOOST_TEST(data_deviation(ImageDataset::open(folder.path())) == 0.0);
  Bytes halves(800);
  for (std::size_t i = 0; i < 800; i += 2) halves[i] = 255;
  folder.write("train-images-idx3-ubyte", idx({40, 5, 4}, halves));  // -1 and 1, half each
  BOOST_TEST(data_deviation(ImageDataset::open(folder.path())) == 1.0, boost::test_tools::tolerance(1e-14));
}

BOOST_AUTO_TEST_CASE(deviation_of_many_images_is_not_fooled_by_a_period) {
  // Of 40,000 training images every fourth is white and the rest black: sqrt(3)/4 of the range of 2.
  constexpr std::uint32_t count = 42105;
  Bytes pixels(count);
  for (std::size_t i = 0; i < count; i += 4) pixels[i] = 255;
  const TemporaryFolder folder;
  folder.write("train-labels-idx1-ubyte", idx({count}, cyclic_labels(count, 3)));
  folder.write("train-images-idx3-ubyte", idx({count, 1, 1}, pixels));
  const ImageDataset data = ImageDataset::open(folder.path());
  BOOST_REQUIRE_EQUAL(data.count(Split::train), 40000);
  BOOST_TEST(data_deviation(data) == std::sqrt(3.0) / 2, boost::test_tools::tolerance(0.02));
  // And it is that of the first 10,000 of a shuffled order, which no later version may change: runs keep it.
  const SampleOrder order(0, 40000);
  double white = 0;
  for (std::uint64_t i = 0; i < 10000; ++i) white += order.index(i) % 4 == 0 ? 1e-4 : 0;
  BOOST_TEST(data_deviation(data) == 2 * std::sqrt(white * (1 - white)), boost::test_tools::tolerance(1e-9));
}

BOOST_AUTO_TEST_CASE(pixels_and_values) {
  BOOST_TEST(pixel_values[0] == -1.0f);
  BOOST_TEST(pixel_values[255] == 1.0f);
  BOOST_TEST(pixel_values[51] == static_cast<float>(51 / 255.0 * 2 - 1));
  for (int i = 0; i < 256; ++i) BOOST_TEST(to_pixel(pixel_values[static_cast<std::size_t>(i)]) == i);
  BOOST_TEST(to_pixel(-1e30f) == 0);
  BOOST_TEST(to_pixel(1e30f) == 255);
  BOOST_TEST(to_pixel(std::nanf("")) == 0);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace blocktrain::trainer
