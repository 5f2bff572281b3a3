#pragma once
/// What `plan` needs of a data set.

#include <cstdint>
#include <string>

#include "trainer/data/data_format.hpp"
#include "trainer/data/image_source.hpp"

namespace blocktrain::trainer {

struct DataProbe {
  struct Shape {
    std::int64_t channels = 0, height = 0, width = 0, classes = 0;
  } shape;
  std::int64_t training_images = 0, heldout_images = 0;
};

/// Looks at the data set at `path`. Throws InputError as ImageDataset::open does.
DataProbe probe_data(const std::string& path, DataFormat format);

}  // namespace blocktrain::trainer
