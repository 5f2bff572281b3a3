// Good data sets of every format, plain and packed, read as they should.

#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include "tests/trainer/tasks/images/support.hpp"
#include "trainer/data/decode.hpp"
#include "trainer/tasks/images/dataset_statistics.hpp"

namespace blocktrain::trainer {
using namespace test;

BOOST_AUTO_TEST_SUITE(formats)

BOOST_AUTO_TEST_CASE(the_fixture_of_digits) {
  const ImageDataset data = ImageDataset::open(fixture_folder());
  BOOST_TEST((data.format() == DataFormat::idx));
  BOOST_TEST((data.shape() == ImageShape{1, 8, 8}));
  BOOST_TEST(data.classes() == 10);
  BOOST_TEST(data.count(Split::train) == 60);
  BOOST_TEST(data.count(Split::heldout) == 20);
  BOOST_TEST(!data.heldout_is_cut());
  BOOST_TEST(data.decoded_bytes() == 16u + 60 * 64 + 8 + 60 + 16 + 20 * 64 + 8 + 20);
  for (const auto& [split, each] : {std::pair{Split::train, 6}, std::pair{Split::heldout, 2}}) {
    std::vector<int> seen(10);
    for (std::int64_t i = 0; i < data.count(split); ++i) ++seen[static_cast<std::size_t>(data.label(split, i))];
    for (const int n : seen) BOOST_TEST(n == each);
  }
  // A digit is ink in the middle: the four corner columns' rims are never written on.
  for (std::int64_t i = 0; i < 60; ++i) BOOST_TEST(data.image(Split::train, i)[0] == 0);
}

BOOST_AUTO_TEST_CASE(idx_plain_is_mapped_and_every_byte_is_in_its_place) {
  const TemporaryFolder folder;
  const Bytes pixels = noise(7 * 20);
  folder.write("train-images-idx3-ubyte", idx({7, 5, 4}, pixels));
  folder.write("train-labels-idx1-ubyte", idx({7}, {2, 0, 1, 2, 3, 0, 1}));
  folder.write("t10k-images-idx3-ubyte", idx({2, 5, 4}, noise(40, 9)));
  folder.write("t10k-labels-idx1-ubyte", idx({2}, {3, 1}));
  const ImageDataset data = ImageDataset::open(folder.path());
  BOOST_TEST(data.decoded_bytes() == 0u);
  BOOST_TEST(data.classes() == 4);
  BOOST_TEST((data.shape() == ImageShape{1, 5, 4}));
  BOOST_TEST(data.label(Split::train, 4) == 3);
  BOOST_TEST(data.label(Split::heldout, 0) == 3);
  for (std::int64_t i = 0; i < 7; ++i) {
    for (std::int64_t e = 0; e < 20; ++e) {
      BOOST_TEST(data.image(Split::train, i)[e] == pixels[static_cast<std::size_t>(i * 20 + e)]);
    }
  }
  BOOST_CHECK_THROW(data.image(Split::train, 7), std::logic_error);
  BOOST_CHECK_THROW(data.label(Split::heldout, -1), std::logic_error);
}

BOOST_AUTO_TEST_CASE(idx_with_channels) {
  const TemporaryFolder folder;
  const Bytes pixels = noise(4 * 3 * 2 * 5);
  folder.write("train-images-idx4-ubyte.gz", gzip(idx({4, 3, 2, 5}, pixels)));
  folder.write("train-labels-idx1-ubyte", idx({4}, {0, 1, 0, 1}));
  const ImageDataset data = ImageDataset::open(folder.path());
  BOOST_TEST((data.shape() == ImageShape{3, 2, 5}));
  BOOST_TEST(data.image(Split::train, 2)[29] == pixels[2 * 30 + 29]);
}

BOOST_AUTO_TEST_CASE(packed_and_plain_are_the_same_data) {
  const TemporaryFolder plain;
  const TemporaryFolder packed;
  const Bytes images = idx({40, 5, 4}, noise(800));
  const Bytes labels = idx({40}, cyclic_labels(40, 3));
  plain.write("train-images-idx3-ubyte", images);
  plain.write("train-labels-idx1-ubyte", labels);
  packed.write("train-images-idx3-ubyte.gz", gzip(images));
  // gzip files put one behind the other are one gzip file.
  const auto half = labels.begin() + 21;
  Bytes two_members = gzip(Bytes(labels.begin(), half));
  const Bytes second = gzip(Bytes(half, labels.end()));
  two_members.insert(two_members.end(), second.begin(), second.end());
  packed.write("train-labels-idx1-ubyte.gz", two_members);
  const ImageDataset a = ImageDataset::open(plain.path());
  const ImageDataset b = ImageDataset::open(packed.path());
  BOOST_TEST(a.decoded_bytes() == 0u);
  BOOST_TEST(b.decoded_bytes() == images.size() + labels.size());
  BOOST_TEST(dataset_digest(a) == dataset_digest(b));
}

BOOST_AUTO_TEST_CASE(cifar10_of_five_files) {
  const TemporaryFolder folder;
  Bytes all;
  for (std::uint32_t k = 1; k <= 5; ++k) {
    const Bytes file = cifar(k + 1, 1, 10, k);
    all.insert(all.end(), file.begin(), file.end());
    const std::string name = "data_batch_" + std::to_string(k) + ".bin";
    if (k % 2 == 0) {
      folder.write(name + ".xz", xz(file));
    } else {
      folder.write(name, file);
    }
  }
  folder.write("test_batch.bin", cifar(4, 1, 10, 6));
  folder.write("batches.meta.txt", {'x'});
  const ImageDataset data = ImageDataset::open(folder.path());
  BOOST_TEST((data.format() == DataFormat::cifar10));
  BOOST_TEST(data.classes() == 10);
  BOOST_TEST((data.shape() == ImageShape{3, 32, 32}));
  BOOST_REQUIRE_EQUAL(data.count(Split::train), 2 + 3 + 4 + 5 + 6);
  BOOST_TEST(data.count(Split::heldout) == 4);
  BOOST_TEST(data.decoded_bytes() == (3u + 5) * 3073);
  for (std::int64_t i = 0; i < 20; ++i) {
    const std::uint8_t* record = all.data() + i * 3073;
    BOOST_TEST(data.label(Split::train, i) == record[0]);
    BOOST_TEST(std::equal(record + 1, record + 3073, data.image(Split::train, i)));
  }
}

BOOST_AUTO_TEST_CASE(cifar100_takes_the_fine_label) {
  const TemporaryFolder folder;
  folder.write("train.bin.xz", xz(cifar(120, 2, 100)));
  folder.write("test.bin", cifar(7, 2, 100, 3));
  const ImageDataset data = ImageDataset::open(folder.path());
  BOOST_TEST((data.format() == DataFormat::cifar100));
  BOOST_TEST(data.classes() == 100);
  BOOST_TEST(data.label(Split::train, 57) == 57);
  BOOST_TEST(data.label(Split::train, 119) == 19);
  BOOST_TEST(data.image(Split::heldout, 6)[3071] == cifar(7, 2, 100, 3).back());
}

BOOST_AUTO_TEST_CASE(without_a_held_out_file_the_last_twentieth_is_held_out) {
  for (const auto& [all, held] : {std::pair{2u, 1}, std::pair{19u, 1}, std::pair{40u, 2}, std::pair{59u, 2}}) {
    const TemporaryFolder folder;
    write_small_idx(folder, all);
    const ImageDataset data = ImageDataset::open(folder.path());
    BOOST_TEST(data.heldout_is_cut());
    BOOST_TEST(data.count(Split::heldout) == held);
    BOOST_TEST(data.count(Split::train) == static_cast<std::int64_t>(all) - held);
    BOOST_TEST(data.label(Split::heldout, 0) == static_cast<std::int32_t>((all - static_cast<unsigned>(held)) % 3));
    BOOST_TEST(data.image(Split::heldout, 0) == data.image(Split::train, 0) + 20 * data.count(Split::train));
  }
}

BOOST_AUTO_TEST_CASE(cutting_across_files_keeps_order) {
  const TemporaryFolder folder;
  for (std::uint32_t k = 1; k <= 5; ++k) {
    folder.write("data_batch_" + std::to_string(k) + ".bin", cifar(k == 5 ? 1 : 20, 1, 10, k));
  }
  const ImageDataset data = ImageDataset::open(folder.path());  // 81 images, 4 held out: 3 of file 4, and file 5
  BOOST_TEST(data.count(Split::train) == 77);
  BOOST_REQUIRE_EQUAL(data.count(Split::heldout), 4);
  BOOST_TEST(data.label(Split::heldout, 0) == 17 % 10);
  BOOST_TEST(data.label(Split::heldout, 2) == 19 % 10);
  BOOST_TEST(data.label(Split::heldout, 3) == 0);
  BOOST_TEST(data.image(Split::heldout, 3)[0] == cifar(1, 1, 10, 5)[1]);
}

BOOST_AUTO_TEST_CASE(plain_wins_over_packed_and_links_are_skipped_and_counted) {
  const TemporaryFolder folder;
  write_small_idx(folder, 40);
  folder.write("train-images-idx3-ubyte.gz", {'n', 'o'});
  fs::create_symlink(folder.path() / "train-images-idx3-ubyte", folder.path() / "t10k-images-idx3-ubyte");
  fs::create_symlink("nowhere", folder.path() / "other");
  const ImageDataset data = ImageDataset::open(folder.path());
  BOOST_TEST(data.links_skipped() == 2);
  BOOST_TEST(data.heldout_is_cut());
  BOOST_TEST(data.summary().find("symbolic links skipped: 2") != std::string::npos);

  const TemporaryFolder other;
  fs::create_directory_symlink(folder.path(), other.path() / "link");
  BOOST_TEST(ImageDataset::open(other.path() / "link").count(Split::train) == 38);
}

BOOST_AUTO_TEST_CASE(a_cut_at_the_edge_of_a_file_leaves_no_empty_piece) {
  const Bytes bytes(30);
  const auto piece = [&bytes](std::int64_t first, std::int64_t count) {
    return ImageSegment{bytes.data() + first, 1, bytes.data(), 1, count};
  };
  const std::vector<ImageSegment> whole{piece(0, 10), piece(10, 10), piece(20, 10)};
  const std::vector<ImageSegment> middle = slice(whole, 10, 20);
  BOOST_REQUIRE_EQUAL(middle.size(), 1U);
  BOOST_TEST((middle[0].images == bytes.data() + 10));
  BOOST_TEST(middle[0].count == 10);
  const std::vector<ImageSegment> across = slice(whole, 9, 21);
  BOOST_REQUIRE_EQUAL(across.size(), 3U);
  BOOST_TEST((across[0].images == bytes.data() + 9));
  BOOST_TEST((across[2].images == bytes.data() + 20));
  BOOST_TEST((across[0].count == 1 && across[1].count == 10 && across[2].count == 1));
  BOOST_TEST(slice(whole, 10, 10).empty());
}

BOOST_AUTO_TEST_CASE(a_mapping_ends_with_its_owner) {
  const TemporaryFolder folder;
  folder.write("data", noise(5000));
  const auto mapped = [&folder] {
    const Bytes text = read_file("/proc/self/maps");
    return std::string(text.begin(), text.end()).find(folder.path().string()) != std::string::npos;
  };
  {
    const MappedBytes bytes = MappedBytes::of_file(folder.path() / "data");
    BOOST_TEST(mapped());
    BOOST_TEST(Bytes(bytes.bytes().begin(), bytes.bytes().end()) == noise(5000), boost::test_tools::per_element());
  }
  BOOST_TEST(!mapped());
}

BOOST_AUTO_TEST_CASE(standard_input_may_be_closed) {
  // Then a file that is opened gets its number, which is 0.
  const TemporaryFolder folder;
  folder.write("data", noise(100));
  const int kept = dup(STDIN_FILENO);
  close(STDIN_FILENO);
  std::size_t size = 0;
  std::string error;
  try {
    size = MappedBytes::of_file(folder.path() / "data").size();
  } catch (const std::exception& e) {
    error = e.what();
  }
  const bool closed = fcntl(STDIN_FILENO, F_GETFD) < 0;
  if (kept >= 0) {
    BOOST_REQUIRE(dup2(kept, STDIN_FILENO) == STDIN_FILENO);
    close(kept);
  }
  BOOST_TEST(error == "");
  BOOST_TEST(size == 100U);
  BOOST_TEST(closed, "the file was left open");
}

BOOST_AUTO_TEST_CASE(decoders_give_their_memory_back) {
  const Bytes plain = noise(1000);
  for (const Codec codec : {Codec::gzip, Codec::xz}) {
    const Bytes packed = codec == Codec::gzip ? gzip(plain) : xz(plain);
    // Of both kinds that malloc knows: from its own pools, and mapped.
    const auto taken = [] { return mallinfo2().uordblks + mallinfo2().hblkhd; };
    decode_start(codec, packed, "data", 10);  // what is taken once
    const std::size_t before = taken();
    for (int i = 0; i < 100; ++i) decode_start(codec, packed, "data", 10);
    // One gzip decoder takes some 40 KB, one of xz more than a megabyte.
    BOOST_TEST(taken() < before + (std::size_t{1} << 20));
  }
}

BOOST_AUTO_TEST_CASE(names_of_formats) {
  for (const DataFormat f : {DataFormat::automatic, DataFormat::idx, DataFormat::cifar10, DataFormat::cifar100}) {
    BOOST_TEST((value_named<DataFormat>(name_of(f)) == f));
  }
  BOOST_TEST(!value_named<DataFormat>("jpeg").has_value());
}

BOOST_AUTO_TEST_CASE(two_kinds_in_one_folder_need_a_format) {
  const TemporaryFolder folder;
  write_small_idx(folder, 40);
  folder.write("train.bin", cifar(40, 2, 100));
  check_input_error([&] { ImageDataset::open(folder.path()); },
                    {folder.path().string(), "idx and cifar100", "data.format"});
  BOOST_TEST(ImageDataset::open(folder.path(), DataFormat::idx).classes() == 3);
  BOOST_TEST(ImageDataset::open(folder.path(), DataFormat::cifar100).classes() == 100);
}

BOOST_AUTO_TEST_CASE(limit_of_decoding_never_overflows) {
  BOOST_TEST(decoded_limit(0) == 1u << 20);
  BOOST_TEST(decoded_limit(1000) == (1u << 20) + 1100000u);
  BOOST_TEST(decoded_limit(UINT64_MAX) == std::uint64_t{1} << 34);
  BOOST_TEST(decoded_limit((std::uint64_t{1} << 34) / 1100 - 1) == std::uint64_t{1} << 34);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace blocktrain::trainer
