// The published data sets, against figures known from elsewhere. Skipped, visibly, where the files are not.

#include <openssl/sha.h>

#include <cmath>
#include <cstdio>

#include "tests/trainer/tasks/images/support.hpp"
#include "trainer/tasks/images/data_probe.hpp"
#include "trainer/tasks/images/dataset_statistics.hpp"

namespace blocktrain::trainer {
using namespace test;

namespace {

fs::path data_folder() {
  const char* folder = std::getenv("BLOCKTRAIN_TEST_DATA");
  return folder == nullptr ? fs::path() : fs::path(folder);
}

/// Ends the program with the exit code that ctest shows as skipped.
struct SkipWithoutData {
  SkipWithoutData() {
    for (const char* set : {"mnist", "fashion-mnist", "cifar100"}) {
      if (fs::is_directory(data_folder() / set)) continue;
      std::printf("SKIPPED: no folder %s in BLOCKTRAIN_TEST_DATA\n", set);
      std::fflush(stdout);
      std::_Exit(77);
    }
  }
};

std::string sha256(std::span<const std::uint8_t> bytes) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(bytes.data(), bytes.size(), digest);
  std::string text;
  for (const unsigned char d : digest) {
    char pair[3];
    std::snprintf(pair, sizeof pair, "%02x", d);
    text += pair;
  }
  return text;
}

struct Moments {
  double mean = 0, deviation = 0;
};

/// Of the pixels of one channel of the training images.
Moments moments(const ImageDataset& data, std::int64_t channel) {
  const std::int64_t area = data.shape().height * data.shape().width;
  std::uint64_t sum = 0;
  std::uint64_t squares = 0;
  for (std::int64_t i = 0; i < data.count(Split::train); ++i) {
    const std::uint8_t* p = data.image(Split::train, i) + channel * area;
    for (std::int64_t e = 0; e < area; ++e) {
      sum += p[e];
      squares += std::uint64_t{p[e]} * p[e];
    }
  }
  const double n = static_cast<double>(area * data.count(Split::train));
  const double mean = static_cast<double>(sum) / n;
  return {mean, std::sqrt(static_cast<double>(squares) / n - mean * mean)};
}

std::vector<std::int64_t> histogram(const ImageDataset& data, Split split) {
  std::vector<std::int64_t> seen(static_cast<std::size_t>(data.classes()));
  for (std::int64_t i = 0; i < data.count(split); ++i) ++seen[static_cast<std::size_t>(data.label(split, i))];
  return seen;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(real_data, *boost::unit_test::fixture<SkipWithoutData>())

BOOST_AUTO_TEST_CASE(mnist) {
  const ImageDataset data = ImageDataset::open(data_folder() / "mnist");
  BOOST_TEST(data.summary() == "idx: 60000 training and 10000 held-out images of 1x28x28, 10 classes");
  const std::vector<int> first{5, 0, 4, 1, 9, 2, 1, 3};
  for (std::size_t i = 0; i < first.size(); ++i) {
    BOOST_TEST(data.label(Split::train, static_cast<std::int64_t>(i)) == first[i]);
  }
  const Moments m = moments(data, 0);
  BOOST_TEST(m.mean / 255 == 0.1306604762738429, boost::test_tools::tolerance(1e-12));
  BOOST_TEST(m.deviation / 255 == 0.3081078038564622, boost::test_tools::tolerance(1e-12));
  // From 10,000 of the 60,000 images.
  BOOST_TEST(data_deviation(data) == 2 * 0.30811, boost::test_tools::tolerance(0.01));
  BOOST_TEST(histogram(data, Split::heldout)[1] == 1135);
}

BOOST_AUTO_TEST_CASE(fashion_mnist) {
  const ImageDataset data = ImageDataset::open(data_folder() / "fashion-mnist", DataFormat::idx);
  BOOST_TEST(data.count(Split::train) == 60000);
  for (const std::int64_t n : histogram(data, Split::train)) BOOST_TEST(n == 6000);
  for (const std::int64_t n : histogram(data, Split::heldout)) BOOST_TEST(n == 1000);
  const Moments m = moments(data, 0);
  BOOST_TEST(m.mean / 255 == 0.2860, boost::test_tools::tolerance(1e-3));
  BOOST_TEST(m.deviation / 255 == 0.3530, boost::test_tools::tolerance(1e-3));
}

BOOST_AUTO_TEST_CASE(cifar100) {
  const ImageDataset data = ImageDataset::open(data_folder() / "cifar100");
  BOOST_TEST(data.summary() == "cifar100: 50000 training and 10000 held-out images of 3x32x32, 100 classes");
  for (const std::int64_t n : histogram(data, Split::train)) BOOST_TEST(n == 500);
  for (const std::int64_t n : histogram(data, Split::heldout)) BOOST_TEST(n == 100);
  const auto files = data.decoded_files();
  BOOST_REQUIRE_EQUAL(files.size(), 2u);
  BOOST_TEST(sha256(files[0]) == "2c47ce9922ff241ebde73089b72ad0273e4b07e438bebc4a5cd23a2c4f8e7f7e");
  BOOST_TEST(sha256(files[1]) == "e685f15745c31f2e12cef79be67f3d48cf67acf68b63b8eb9a5b824b6f17ef2b");
  const double mean[] = {129.304165605469, 124.069962695312, 112.434050058594};
  const double deviation[] = {68.1702428992, 65.3918080456, 70.418370188049};
  for (int c = 0; c < 3; ++c) {
    const Moments m = moments(data, c);
    BOOST_TEST(m.mean == mean[c], boost::test_tools::tolerance(1e-12));
    BOOST_TEST(m.deviation == deviation[c], boost::test_tools::tolerance(1e-10));
  }
  BOOST_TEST(dataset_digest(data).size() == 64u);
  const DataProbe probe = probe_data((data_folder() / "cifar100").string(), DataFormat::automatic);
  BOOST_TEST(probe.training_images == 50000);
  BOOST_TEST(probe.heldout_images == 10000);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace blocktrain::trainer
