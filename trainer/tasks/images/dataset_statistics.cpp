#include "trainer/tasks/images/dataset_statistics.hpp"

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "kernels/error.hpp"
#include "trainer/data/data_digest.hpp"
#include "trainer/data/sample_order.hpp"
#include "trainer/support/sha256.hpp"

namespace blocktrain::trainer {
namespace {

void add(Sha256& sha, std::span<const std::uint8_t> bytes) { sha.update(std::as_bytes(bytes)); }

}  // namespace

std::string dataset_digest(const ImageDataset& data) {
  Sha256 sha;
  add_number(sha, 1);  // version of this recipe
  add_number(sha, static_cast<std::uint64_t>(data.format()));
  for (const std::int64_t n : {data.shape().channels, data.shape().height, data.shape().width,
                               std::int64_t{data.classes()}, data.count(Split::train), data.count(Split::heldout)}) {
    add_number(sha, static_cast<std::uint64_t>(n));
  }
  for (const auto file : data.decoded_files()) add_pieces(sha, file);
  std::vector<std::uint8_t> labels;
  for (const Split split : {Split::train, Split::heldout}) {
    for (std::int64_t i = 0; i < data.count(split); ++i) {
      labels.push_back(static_cast<std::uint8_t>(data.label(split, i)));
    }
  }
  add(sha, labels);
  return sha.hex();
}

double data_deviation(const ImageDataset& data) {
  constexpr std::int64_t most_images_used = 10000;
  const std::int64_t count = data.count(Split::train);
  // Keyed, not evenly spaced: files may have a period (MNIST alternates between two groups of writers).
  const SampleOrder order(0, count);
  std::vector<std::int64_t> used(static_cast<std::size_t>(std::min(count, most_images_used)));
  for (std::size_t i = 0; i < used.size(); ++i) used[i] = order.index(i);
  std::ranges::sort(used);  // disks like it
  const std::int64_t size = data.shape().size();
  __extension__ using Wide = unsigned __int128;  // sums of squares times counts pass 64 bits
  Wide sum = 0;
  Wide square_sum = 0;
  for (const std::int64_t index : used) {
    const std::uint8_t* pixels = data.image(Split::train, index);
    std::uint64_t image_sum = 0;
    std::uint64_t image_square_sum = 0;
    for (std::int64_t e = 0; e < size; ++e) {
      const std::uint64_t p = pixels[e];
      image_sum += p;
      image_square_sum += p * p;
    }
    sum += image_sum;
    square_sum += image_square_sum;
  }
  const double n = static_cast<double>(used.size()) * static_cast<double>(size);
  const Wide scaled_variance = static_cast<Wide>(used.size()) * static_cast<Wide>(size) * square_sum - sum * sum;
  return std::sqrt(static_cast<double>(scaled_variance)) / n * (2.0 / 255.0);
}

std::vector<std::int64_t> training_class_counts(const ImageDataset& data) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(data.classes()));
  for (std::int64_t i = 0; i < data.count(Split::train); ++i) {
    ++counts[static_cast<std::size_t>(data.label(Split::train, i))];
  }
  return counts;
}

}  // namespace blocktrain::trainer
