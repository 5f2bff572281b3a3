#include "trainer/tasks/images/cifar_format.hpp"

#include "kernels/error.hpp"

namespace blocktrain::trainer {

std::int64_t count_cifar_images(std::uint64_t bytes, const std::string& name, const CifarLayout& layout) {
  const std::string file = "data file " + name + ": ";
  const auto size = static_cast<std::int64_t>(bytes);
  const std::int64_t record = layout.record_bytes();
  const std::string what = "CIFAR-" + std::to_string(layout.classes);
  if (size == 0 || size % record != 0) {
    throw InputError(file + "has " + std::to_string(size) + " bytes, which is not a whole number of " + what +
                     " records of " + std::to_string(record) + " (" + std::to_string(size % record) +
                     " bytes over: truncated, or trailing bytes); fetch or copy it again, or check data.format");
  }
  const std::int64_t count = size / record;
  if (count > most_images) {
    throw InputError(file + "holds " + std::to_string(count) + " images, accepted are up to " +
                     std::to_string(most_images) + "; split the data set");
  }
  return count;
}

ImageSegment parse_cifar_file(std::span<const std::uint8_t> bytes, const std::string& name, const CifarLayout& layout) {
  const std::int64_t record = layout.record_bytes();
  ImageSegment segment;
  segment.count = count_cifar_images(bytes.size(), name, layout);
  segment.images = bytes.data() + layout.label_bytes;
  segment.image_stride = record;
  segment.labels = segment.images - 1;
  segment.label_stride = record;
  for (std::int64_t i = 0; layout.coarse_classes > 0 && i < segment.count; ++i) {
    const std::uint8_t coarse = segment.labels[i * record - 1];
    if (coarse >= layout.coarse_classes) {
      throw InputError("data file " + name + ": image " + std::to_string(i) + " has the coarse label " +
                       std::to_string(coarse) + ", expected 0 to " + std::to_string(layout.coarse_classes - 1) +
                       "; it is no CIFAR-" + std::to_string(layout.classes) +
                       " file or damaged: check data.format, or fetch it again");
    }
  }
  return segment;
}

}  // namespace blocktrain::trainer
