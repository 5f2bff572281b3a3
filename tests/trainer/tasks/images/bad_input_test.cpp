// Data files come from other people: every bad one is an InputError that names the file, what was found, and what
// to do; never a crash and never silently wrong data.

#include <sys/stat.h>
#include <unistd.h>

#include <optional>

#include "tests/trainer/tasks/images/support.hpp"
#include "trainer/data/decode.hpp"
#include "trainer/tasks/images/dataset_statistics.hpp"

namespace blocktrain::trainer {
using namespace test;

namespace {

/// A good plain IDX data set with held-out files, of which a test then spoils one.
struct IdxFolder : TemporaryFolder {
  IdxFolder() {
    write_small_idx(*this, 40);
    write("t10k-images-idx3-ubyte", idx({6, 5, 4}, noise(120, 2)));
    write("t10k-labels-idx1-ubyte", idx({6}, cyclic_labels(6, 3)));
  }
  void expect(std::initializer_list<std::string> parts, DataFormat format = DataFormat::automatic) const {
    check_input_error([&] { ImageDataset::open(path(), format); }, parts);
  }
};

const std::string train_images = "train-images-idx3-ubyte";
const std::string train_labels = "train-labels-idx1-ubyte";

/// Opens the folder; the digest, or nothing on InputError. Any other exception fails the test.
std::optional<std::string> digest_or_error(const fs::path& folder) {
  try {
    return dataset_digest(ImageDataset::open(folder));
  } catch (const InputError&) {
    return std::nullopt;
  }
}

/// Every cut of the file, `stride` bytes apart, is refused.
void check_all_truncations(const TemporaryFolder& folder, const std::string& name, const Bytes& whole,
                           std::size_t stride) {
  folder.write(name, whole);
  BOOST_REQUIRE(digest_or_error(folder.path()).has_value());
  int refused = 0;
  int tried = 0;
  for (std::size_t size = 0; size < whole.size(); size += stride, ++tried) {
    folder.write(name, Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)));
    refused += digest_or_error(folder.path()) ? 0 : 1;
  }
  BOOST_TEST(refused == tried);
  folder.write(name, whole);
}

/// With any one byte changed, a compressed file is either refused or still gives the same data (its checksums).
void check_all_damages(const TemporaryFolder& folder, const std::string& name, const Bytes& whole, std::size_t stride) {
  folder.write(name, whole);
  const auto good = digest_or_error(folder.path());
  BOOST_REQUIRE(good.has_value());
  int wrong = 0;
  for (std::size_t at = 0; at < whole.size(); at += stride) {
    Bytes bad = whole;
    bad[at] ^= static_cast<std::uint8_t>(1u << (at % 8));
    folder.write(name, bad);
    const auto digest = digest_or_error(folder.path());
    if (digest && digest != good) ++wrong;
  }
  BOOST_TEST(wrong == 0);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(bad_input)

BOOST_AUTO_TEST_CASE(folders) {
  const TemporaryFolder folder;
  const auto open = [&](const fs::path& p) { return [p] { ImageDataset::open(p); }; };
  check_input_error(open(folder.path() / "none"), {"none", "does not exist", "data.path"});
  check_input_error(open(folder.path()), {"holds no files", "train-images-idx3-ubyte", "data.path"});
  folder.write("notes.txt", {'x'});
  check_input_error(open(folder.path()), {"it holds notes.txt", "data_batch_1.bin"});
  check_input_error(open(folder.path() / "notes.txt"), {"notes.txt", "is not a folder"});
  fs::create_symlink("/nowhere/train.bin", folder.path() / "train.bin");
  check_input_error(open(folder.path()), {"skipped train.bin, a symbolic link"});
}

BOOST_AUTO_TEST_CASE(not_a_regular_file) {
  const TemporaryFolder folder;
  // Neither waits for a writer of the FIFO nor reads it.
  BOOST_REQUIRE(mkfifo((folder.path() / "train.bin").c_str(), 0600) == 0);
  check_input_error([&] { ImageDataset::open(folder.path()); }, {"train.bin", "not a regular file"});
}

BOOST_AUTO_TEST_CASE(unreadable, *boost::unit_test::precondition([](boost::unit_test::test_unit_id) {
                       return boost::test_tools::assertion_result(geteuid() != 0);
                     })) {
  const IdxFolder folder;
  BOOST_REQUIRE(chmod((folder.path() / train_images).c_str(), 0) == 0);
  folder.expect({train_images, "Permission denied", "readable"});
}

BOOST_AUTO_TEST_CASE(missing_partner) {
  const IdxFolder folder;
  fs::remove(folder.path() / "t10k-labels-idx1-ubyte");
  folder.expect({"t10k-labels-idx1-ubyte", "missing"});
  fs::remove(folder.path() / train_labels);
  folder.expect({train_labels, ".gz", "missing"});
  fs::remove(folder.path() / train_images);
  folder.expect({"no training images"});
  folder.expect({train_images, "missing"}, DataFormat::idx);
  folder.expect({"train.bin", ".xz", "missing"}, DataFormat::cifar100);
  const TemporaryFolder cifar10;
  for (const int k : {1, 2, 4, 5}) cifar10.write("data_batch_" + std::to_string(k) + ".bin", cifar(2, 1, 10));
  check_input_error([&] { ImageDataset::open(cifar10.path()); }, {"data_batch_3.bin", "missing"});
}

BOOST_AUTO_TEST_CASE(empty_files) {
  const IdxFolder folder;
  folder.write(train_labels, {});
  folder.expect({train_labels, "empty"});
  folder.write(train_labels, idx({40}, cyclic_labels(40, 3)));
  folder.write(train_images, {});
  folder.expect({train_images, "empty"});
  fs::remove(folder.path() / train_images);
  folder.write(train_images + ".gz", gzip({}));
  folder.expect({train_images + ".gz", "header"});
  const TemporaryFolder packed;
  packed.write("train.bin.xz", xz({}));
  check_input_error([&] { ImageDataset::open(packed.path()); }, {"train.bin.xz", "holds nothing"});
}

BOOST_AUTO_TEST_CASE(wrong_magic) {
  const IdxFolder folder;
  const Bytes pixels = noise(800);
  folder.write(train_images, idx({40, 5, 4}, pixels, 0x0d));
  folder.expect({train_images, "0x00000d03", "0x00000803", "convert its elements to unsigned bytes"});
  folder.write(train_images, idx({40, 20}, pixels));
  folder.expect({train_images, "0x00000802"});
  folder.write(train_images, {'P', 'K', 3, 4, 0, 0, 0, 0});
  folder.expect({train_images, "0x504b0304", "data.format"});
  folder.write(train_images, gzip(idx({40, 5, 4}, pixels)));
  folder.expect({train_images, "gzip", ".gz"});
  folder.write(train_images, xz(idx({40, 5, 4}, pixels)));
  folder.expect({train_images, "xz -d"});
  folder.write(train_images, idx({40}, cyclic_labels(40, 3)));
  folder.expect({train_images, "names are swapped"});
  folder.write(train_images, idx({40, 5, 4}, pixels));
  folder.write(train_labels, idx({40, 1, 1}, cyclic_labels(40, 3)));
  folder.expect({train_labels, "names are swapped"});
  folder.write(train_labels, idx({40, 1}, cyclic_labels(40, 3)));
  folder.expect({train_labels, "0x00000802", "0x00000801", "convert its elements to unsigned bytes"});
  folder.write(train_labels, {'P', 'K', 3, 4, 0, 0, 0, 0});
  folder.expect({train_labels, "0x504b0304", "fetch it again"});
  fs::remove(folder.path() / train_labels);
  folder.write(train_labels + ".gz", {1, 2, 3, 4, 5, 6, 7, 8});
  folder.expect({train_labels + ".gz", "no valid gzip file"});
  const TemporaryFolder packed;
  packed.write("train.bin.xz", noise(100));
  check_input_error([&] { ImageDataset::open(packed.path()); }, {"train.bin.xz", "no xz file"});
}

BOOST_AUTO_TEST_CASE(dimensions) {
  const IdxFolder folder;
  for (const auto& dims : {idx({0, 5, 4}, {}), idx({40, 0, 4}, {}), idx({40, 5, 0}, {})}) {
    folder.write(train_images, dims);
    folder.expect({train_images, "is 0, expected at least 1"});
  }
  constexpr std::uint32_t big = 0xffffffffu;
  for (const auto& dims : {idx({big, big, big}, {}), idx({0x80000000u, 2, 0x80000000u, 4}, {}),
                           idx({65536, 65536, 65536, 65536}, noise(100)), idx({1, 8388608, 8388609}, noise(100))}) {
    folder.write(train_images, dims);
    folder.expect({train_images, "multiply to more"});
  }
  folder.write(train_images, idx({big, 1, 1}, noise(100)));
  folder.expect({train_images, "4294967295 entries"});
}

BOOST_AUTO_TEST_CASE(sizes) {
  const IdxFolder folder;
  folder.write(train_images, idx({40, 5, 4}, noise(799)));
  folder.expect({train_images, "815 bytes", "816", "truncated"});
  folder.write(train_images, idx({40, 5, 4}, noise(801)));
  folder.expect({train_images, "817 bytes", "816", "trailing"});
  folder.write(train_images, idx({41, 5, 4}, noise(820)));
  folder.expect({train_images, train_labels, "41 images", "40 labels"});
  folder.write(train_images, idx({40, 4, 5}, noise(800)));
  folder.expect({"t10k-images-idx3-ubyte", "1x5x4", "1x4x5"});
  fs::remove(folder.path() / train_images);
  folder.write(train_images + ".gz", gzip(idx({40, 5, 4}, noise(801))));
  folder.expect({train_images + ".gz", "trailing", "816"});
  folder.write(train_images + ".gz", gzip(idx({40, 5, 4}, noise(700))));
  folder.expect({train_images + ".gz", "716", "816", "truncated"});
  folder.write(train_images + ".gz", gzip(idx({1, 1, 1}, noise(2))));  // less than the longest header
  folder.expect({train_images + ".gz", "trailing", "17"});
  Bytes garbage_behind = gzip(idx({40, 5, 4}, noise(800)));
  garbage_behind.push_back('x');
  folder.write(train_images + ".gz", garbage_behind);
  folder.expect({train_images + ".gz"});

  const TemporaryFolder records;
  Bytes file = cifar(5, 2, 100);
  file.push_back(0);
  records.write("train.bin", file);
  check_input_error([&] { ImageDataset::open(records.path()); }, {"train.bin", "15371 bytes", "3074", "1 bytes over"});
  Bytes behind = xz(cifar(5, 2, 100));
  behind.insert(behind.end(), {1, 2, 3});
  records.write("train.bin.xz", behind);
  fs::remove(records.path() / "train.bin");
  check_input_error([&] { ImageDataset::open(records.path()); }, {"train.bin.xz"});
}

BOOST_AUTO_TEST_CASE(labels) {
  const IdxFolder folder;
  folder.write("t10k-labels-idx1-ubyte", idx({6}, {0, 1, 2, 1, 3, 0}));
  folder.expect({"t10k-labels-idx1-ubyte", "image 4", "label 3", "0 to 2"});

  const TemporaryFolder records;
  Bytes file = cifar(5, 2, 100);
  file[3 * 3074 + 1] = 100;
  records.write("train.bin", file);
  check_input_error([&] { ImageDataset::open(records.path()); }, {"train.bin", "image 3", "label 100", "0 to 99"});
  file[3 * 3074 + 1] = 99;
  file[4 * 3074] = 20;
  records.write("train.bin", file);
  check_input_error([&] { ImageDataset::open(records.path()); },
                    {"train.bin", "image 4", "coarse label 20", "0 to 19"});

  const TemporaryFolder ten;
  for (int k = 1; k <= 5; ++k) ten.write("data_batch_" + std::to_string(k) + ".bin", cifar(3, 1, 10));
  Bytes bad = cifar(3, 1, 10);
  bad[3073] = 10;
  ten.write("test_batch.bin", bad);
  check_input_error([&] { ImageDataset::open(ten.path()); }, {"test_batch.bin", "image 1", "label 10", "0 to 9"});
}

BOOST_AUTO_TEST_CASE(one_image_cannot_be_split) {
  const TemporaryFolder folder;
  write_small_idx(folder, 1);
  check_input_error([&] { ImageDataset::open(folder.path()); }, {"one training image", "at least two"});
}

BOOST_AUTO_TEST_CASE(decompression_bombs) {
  const TemporaryFolder folder;
  // 2^41 bytes announced by a file of 200: refused before any memory is taken.
  folder.write(train_images + ".gz", gzip(idx({0x20000000, 64, 64}, noise(100))));
  folder.write(train_labels, idx({4}, cyclic_labels(4, 3)));
  check_input_error([&] { ImageDataset::open(folder.path()); },
                    {train_images + ".gz", "2199023255568 bytes", "beyond the limit"});
  // 150 MB of zeros in some 22 KB of xz.
  const TemporaryFolder zeros;
  const Bytes packed = xz(Bytes(std::size_t{3074} * 50000));
  zeros.write("train.bin.xz", packed);
  check_input_error([&] { ImageDataset::open(zeros.path()); },
                    {"train.bin.xz", std::to_string(decoded_limit(packed.size()) + 1) + " bytes", "beyond the limit"});
}

BOOST_AUTO_TEST_CASE(xz_that_wants_gigabytes_to_decode) {
  const TemporaryFolder folder;
  Bytes packed = xz(cifar(5, 2, 100));
  // Block header behind the 12 bytes of the stream header: its size, flags, sizes of the block, filter LZMA2 (0x21), 1
  // property byte, the dictionary's size; closed by a CRC32.
  std::size_t filter = 12 + 2;
  while (packed[filter] != 0x21 || packed[filter + 1] != 1) ++filter;
  packed[filter + 2] = 40;  // 4 GiB
  const std::size_t header_size = (std::size_t{packed[12]} + 1) * 4;
  const std::uint32_t crc = lzma_crc32(packed.data() + 12, header_size - 4, 0);
  for (std::size_t i = 0; i < 4; ++i) packed[12 + header_size - 4 + i] = static_cast<std::uint8_t>(crc >> (8 * i));
  folder.write("train.bin.xz", packed);
  check_input_error([&] { ImageDataset::open(folder.path()); }, {"train.bin.xz", "more than 256 MiB"});
}

BOOST_AUTO_TEST_CASE(truncated_anywhere) {
  const IdxFolder folder;
  check_all_truncations(folder, train_images, read_file(folder.path() / train_images), 1);
  check_all_truncations(folder, train_labels, read_file(folder.path() / train_labels), 1);
  const TemporaryFolder packed;
  for (const char* name : {"train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"}) {
    packed.write(name, read_file(fixture_folder() / name));
  }
  check_all_truncations(packed, train_labels + ".gz", read_file(fixture_folder() / (train_labels + ".gz")), 1);
  check_all_truncations(packed, train_images + ".gz", read_file(fixture_folder() / (train_images + ".gz")), 3);
  const TemporaryFolder records;
  check_all_truncations(records, "train.bin.xz", xz(cifar(3, 2, 100)), 61);
}

BOOST_AUTO_TEST_CASE(damaged_anywhere) {
  const TemporaryFolder packed;
  for (const char* name : {"train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"}) {
    packed.write(name, read_file(fixture_folder() / name));
  }
  check_all_damages(packed, train_images + ".gz", read_file(fixture_folder() / (train_images + ".gz")), 2);
  packed.write(train_images + ".gz", read_file(fixture_folder() / (train_images + ".gz")));
  check_all_damages(packed, train_labels + ".gz", read_file(fixture_folder() / (train_labels + ".gz")), 1);
  const TemporaryFolder records;
  check_all_damages(records, "train.bin.xz", xz(cifar(3, 2, 100)), 47);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace blocktrain::trainer
