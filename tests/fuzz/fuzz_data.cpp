// Arbitrary bytes as the files of a data set: refused with InputError or read, never anything else.
//
// Input: one byte that says which files there are, a 16-bit little-endian length for each but the last, then their
// bytes.

#include <cstdint>
#include <cstdlib>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "kernels/error.hpp"
#include "tests/fuzz/support.hpp"
#include "trainer/tasks/images/data_probe.hpp"
#include "trainer/tasks/images/dataset_statistics.hpp"
#include "trainer/tasks/images/image_dataset.hpp"
#include "trainer/tasks/images/image_samples.hpp"

namespace bt = blocktrain::trainer;

namespace {

const std::vector<std::vector<std::string>> file_sets{
    {"train-images-idx3-ubyte", "train-labels-idx1-ubyte"},
    {"train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"},
    {"train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"},
    {"train-images-idx4-ubyte.gz", "train-labels-idx1-ubyte"},
    {"train.bin", "test.bin"},
    {"train.bin.xz"},
    {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"},
    {"train.bin", "train-images-idx3-ubyte", "train-labels-idx1-ubyte"},
};

bt::MappedBytes map(const std::string& name, const std::vector<std::uint8_t>& bytes) {
  if (bytes.empty()) throw blocktrain::InputError("data file " + name + ": is empty");  // as for a file on disk
  return mapped_file(bytes);
}

/// Whatever was accepted has to keep its promises.
void use(const bt::ImageDataset& data) {
  check(data.classes() >= 1 && data.classes() <= 256 && data.shape().size() >= 1);
  check(dataset_digest(data).size() == 64);
  check(data_deviation(data) >= 0 && data_deviation(data) <= 1);
  if (data.shape().size() > 1 << 20) return;
  std::vector<float> image(static_cast<std::size_t>(data.shape().size()));
  for (const bt::Split split : {bt::Split::train, bt::Split::heldout}) {
    check(data.count(split) >= 1);
    for (const std::int64_t i : {std::int64_t{0}, data.count(split) / 2, data.count(split) - 1}) {
      check(data.label(split, i) >= 0 && data.label(split, i) < data.classes());
      fill_image(data, split, i, true, image.data());
      for (const float v : image) check(v >= -1 && v <= 1);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::uint8_t* const end = bytes + size;
  if (size == 0) return 0;
  const std::vector<std::string>& names = file_sets[*bytes % file_sets.size()];
  const auto format = static_cast<bt::DataFormat>(*bytes / file_sets.size() % 4);
  ++bytes;
  std::vector<std::size_t> lengths;
  for (std::size_t i = 0; i + 1 < names.size(); ++i) {
    if (end - bytes < 2) return 0;
    lengths.push_back(static_cast<std::size_t>(bytes[0] | bytes[1] << 8));
    bytes += 2;
  }
  lengths.push_back(static_cast<std::size_t>(end - bytes));
  std::map<std::string, std::vector<std::uint8_t>> files;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::size_t length = std::min(lengths[i], static_cast<std::size_t>(end - bytes));
    files[names[i]] = {bytes, bytes + length};
    bytes += length;
  }
  const auto open = [&](const std::string& name) { return map(name, files.at(name)); };
  const std::set<std::string> listed(names.begin(), names.end());
  // What a plan learns without unpacking may be wrong only where reading it all refuses.
  std::optional<bt::DataProbe> probe;
  try {
    probe = bt::probe_files("fuzz", listed, format, open);
  } catch (const blocktrain::InputError&) {
  }
  try {
    const bt::ImageDataset data = bt::ImageDataset::assemble("fuzz", listed, format, open);
    check(probe && probe->training_images == data.count(bt::Split::train) &&
          probe->heldout_images == data.count(bt::Split::heldout) && probe->shape.classes == data.classes() &&
          probe->shape.channels == data.shape().channels && probe->shape.height == data.shape().height &&
          probe->shape.width == data.shape().width);
    use(data);
  } catch (const blocktrain::InputError&) {
  }
  return 0;
}
