#pragma once
/// What `plan` needs of a data set.

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "trainer/data/mapped_bytes.hpp"
#include "trainer/tasks/images/data_format.hpp"

namespace blocktrain::trainer {

struct DataProbe {
  struct Shape {
    std::int64_t channels = 0, height = 0, width = 0, classes = 0;
  } shape;
  std::int64_t training_images = 0, heldout_images = 0;
  bool heldout_is_cut = false;     ///< from the training images
  bool contents_unread = false;    ///< sizes alone tell: what lies inside is checked when it is trained on
  std::vector<std::string> notes;  ///< sentences for people, as ImageDataset::notes()
};

/// Looks at the data set at `path`, and unpacks no images: a few milliseconds whatever its size. Throws InputError as
/// ImageDataset::open does for what is looked at; DataAbsent (dataset_files.hpp) when there is no data set.
DataProbe probe_data(const std::string& path, DataFormat format);

/// The same once the names of the folder's files are known, as ImageDataset::assemble().
DataProbe probe_files(const std::string& where, const std::set<std::string>& names, DataFormat format,
                      const std::function<MappedBytes(const std::string& name)>& open_file);

}  // namespace blocktrain::trainer
