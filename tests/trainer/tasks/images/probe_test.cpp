// What a plan learns of a data set without unpacking it: the same as reading it all, or a refusal.

#include "tests/trainer/tasks/images/support.hpp"
#include "trainer/data/decode.hpp"
#include "trainer/data/xz_size.hpp"
#include "trainer/tasks/images/data_probe.hpp"
#include "trainer/tasks/images/dataset_files.hpp"

namespace blocktrain::trainer {
using namespace test;

namespace {

void check_same(const fs::path& path, DataFormat format = DataFormat::automatic) {
  const ImageDataset data = ImageDataset::open(path, format);
  const DataProbe probe = probe_data(path.string(), format);
  BOOST_TEST(probe.shape.channels == data.shape().channels);
  BOOST_TEST(probe.shape.height == data.shape().height);
  BOOST_TEST(probe.shape.width == data.shape().width);
  BOOST_TEST(probe.shape.classes == data.classes());
  BOOST_TEST(probe.training_images == data.count(Split::train));
  BOOST_TEST(probe.heldout_images == data.count(Split::heldout));
  BOOST_TEST(probe.heldout_is_cut == data.heldout_is_cut());
  BOOST_TEST(probe.notes == data.notes(), boost::test_tools::per_element());
}

void check_refused(const fs::path& path, std::initializer_list<std::string> parts) {
  check_input_error([&] { probe_data(path.string(), DataFormat::automatic); }, parts);
}

bool is_absent(const fs::path& path, DataFormat format = DataFormat::automatic) {
  try {
    probe_data(path.string(), format);
  } catch (const DataAbsent&) {
    return true;
  } catch (const InputError&) {
  }
  return false;
}

Bytes joined(std::initializer_list<Bytes> parts) {
  Bytes all;
  for (const Bytes& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(probe)

BOOST_AUTO_TEST_CASE(it_agrees_with_reading_everything) {
  check_same(fixture_folder());
  const TemporaryFolder plain, packed, ten, hundred, cut;
  write_small_idx(plain, 40);
  check_same(plain.path());
  packed.write("train-images-idx4-ubyte.gz", gzip(idx({45, 3, 6, 4}, noise(45 * 72))));
  packed.write("train-labels-idx1-ubyte", idx({45}, cyclic_labels(45, 7)));
  packed.write("t10k-images-idx3-ubyte.gz", gzip(idx({5, 3, 6, 4}, noise(5 * 72))));
  packed.write("t10k-labels-idx1-ubyte.gz", gzip(idx({5}, cyclic_labels(5, 7))));
  check_same(packed.path());
  for (std::uint32_t k = 1; k <= 5; ++k) {
    ten.write("data_batch_" + std::to_string(k) + ".bin" + (k % 2 == 0 ? ".xz" : ""),
              k % 2 == 0 ? xz(cifar(k, 1, 10)) : cifar(k, 1, 10));
  }
  check_same(ten.path());
  hundred.write("train.bin.xz", xz(cifar(40, 2, 100)));
  hundred.write("test.bin", cifar(7, 2, 100));
  check_same(hundred.path());
  cut.write("train.bin.xz", xz(cifar(40, 2, 100)));
  cut.write("train-images-idx3-ubyte", {'n', 'o'});
  check_same(cut.path(), DataFormat::cifar100);
}

BOOST_AUTO_TEST_CASE(streams_of_xz_may_follow_each_other_with_padding) {
  const Bytes a = xz(cifar(3, 2, 100)), b = xz(cifar(4, 2, 100)), zeros(8);
  const TemporaryFolder folder;
  folder.write("train.bin.xz", joined({a, zeros, b, zeros}));
  check_same(folder.path());
  BOOST_TEST(probe_data(folder.path().string(), DataFormat::automatic).training_images == 6);  // one held out
}

BOOST_AUTO_TEST_CASE(packed_images_are_not_unpacked) {
  const TemporaryFolder hundred, digits;
  Bytes packed = xz(cifar(40, 2, 100));
  packed[packed.size() / 2] ^= 0xff;
  hundred.write("train.bin.xz", packed);
  BOOST_CHECK_THROW(ImageDataset::open(hundred.path()), InputError);
  const DataProbe probe = probe_data(hundred.path().string(), DataFormat::automatic);
  BOOST_TEST(probe.training_images + probe.heldout_images == 40);
  BOOST_TEST(probe.contents_unread);

  write_small_idx(digits, 40);
  fs::remove(digits.path() / "train-images-idx3-ubyte");
  packed = gzip(idx({40, 5, 4}, noise(800)));
  packed.resize(packed.size() / 2);
  digits.write("train-images-idx3-ubyte.gz", packed);
  BOOST_CHECK_THROW(ImageDataset::open(digits.path()), InputError);
  BOOST_TEST(probe_data(digits.path().string(), DataFormat::automatic).training_images == 38);
}

BOOST_AUTO_TEST_CASE(what_is_looked_at_is_checked) {
  const Bytes whole = xz(cifar(5, 2, 100));
  const auto refused = [](const Bytes& file, const std::string& part) {
    const TemporaryFolder folder;
    folder.write("train.bin.xz", file);
    check_refused(folder.path(), {"train.bin.xz", part});
  };
  refused(Bytes(whole.begin(), whole.end() - 1), "truncated");
  refused(Bytes(whole.begin(), whole.end() - 40), "truncated");
  refused(Bytes(whole.begin() + 4, whole.end()), "does not belong to it");
  refused(noise(100), "truncated");
  refused(Bytes(100), "is no xz file");
  refused(Bytes(4), "is no xz file");
  refused(Bytes(3), "truncated");
  refused(xz({}), "holds nothing");
  refused(xz(cifar(5, 1, 10)), "not a whole number");
  Bytes index = whole;
  index[index.size() - 16] ^= 1;  // of the index's checksum, before the footer of 12
  refused(index, "damaged xz index");
  Bytes footer = whole;
  footer[footer.size() - 8] ^= 0x10;  // the index's size, under a checksum
  refused(footer, "truncated");
  refused(xz(Bytes(20 << 20)), "beyond the limit");

  const TemporaryFolder labels;
  write_small_idx(labels, 40);
  labels.write("t10k-images-idx3-ubyte", idx({4, 5, 4}, noise(80)));
  labels.write("t10k-labels-idx1-ubyte", idx({4}, {0, 1, 2, 3}));
  check_refused(labels.path(), {"t10k-labels", "image 3", "label 3"});
  labels.write("t10k-labels-idx1-ubyte", idx({3}, {0, 1, 2}));
  check_refused(labels.path(), {"4 images", "3 labels"});
}

BOOST_AUTO_TEST_CASE(no_data_is_told_from_wrong_data) {
  const TemporaryFolder folder;
  BOOST_TEST(is_absent(folder.path() / "none"));
  BOOST_TEST(is_absent(folder.path()));
  folder.write("notes.txt", {'x'});
  BOOST_TEST(is_absent(folder.path()));
  BOOST_TEST(!is_absent(folder.path() / "notes.txt"));
  folder.write("train.bin", cifar(5, 2, 100));
  BOOST_TEST(is_absent(folder.path(), DataFormat::idx));
  folder.write("train-images-idx3-ubyte", idx({40, 5, 4}, noise(800)));
  BOOST_TEST(!is_absent(folder.path(), DataFormat::idx));  // the labels are missing
  const TemporaryFolder links;
  fs::create_symlink("/nowhere/train.bin", links.path() / "train.bin");
  BOOST_TEST(!is_absent(links.path()));
}

BOOST_AUTO_TEST_CASE(links_that_are_skipped_are_named) {
  const TemporaryFolder folder, real;
  write_small_idx(folder, 40);
  real.write("images", idx({4, 5, 4}, noise(80)));
  fs::create_symlink(real.path() / "images", folder.path() / "t10k-images-idx3-ubyte");
  fs::create_symlink(real.path() / "images", folder.path() / "t10k-labels-idx1-ubyte.gz");
  fs::create_symlink(real.path() / "images", folder.path() / "thesis.pdf");
  check_same(folder.path());
  const DataProbe probe = probe_data(folder.path().string(), DataFormat::automatic);
  BOOST_REQUIRE_EQUAL(probe.notes.size(), 1u);
  for (const std::string& part :
       {std::string("t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte.gz"), std::string("symbolic links"),
        std::string("the last 2 training images"), folder.path().string()}) {
    BOOST_TEST(probe.notes.front().find(part) != std::string::npos, part << " is not in: " << probe.notes.front());
  }
  BOOST_TEST(probe.notes.front().find("thesis") == std::string::npos);

  // One of the two is a file.
  fs::remove(folder.path() / "t10k-images-idx3-ubyte");
  folder.write("t10k-images-idx3-ubyte", idx({4, 5, 4}, noise(80)));
  check_refused(folder.path(), {"t10k-labels-idx1-ubyte", "missing", "skipped t10k-labels-idx1-ubyte.gz"});
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace blocktrain::trainer
