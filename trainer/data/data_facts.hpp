#pragma once
/// What a run was trained on, as RUN/data.json keeps it: enough to rebuild the network without the data, and to notice
/// other data on resume.
///
/// Format, version 1: {"format": "blocktrain-data", "version": 1, "path", "digest", "channels", "height", "width",
/// "classes", "training_images", "heldout_images", "deviation"}.

#include <cstdint>
#include <string>

#include "trainer/config/config.hpp"
#include "trainer/tasks/images/image_dataset.hpp"
#include "trainer/tasks/images/image_layout.hpp"

namespace blocktrain::trainer {

struct DataFacts {
  std::string path;    ///< data.path as it was given
  std::string digest;  ///< dataset_digest()
  ImageShape shape;
  std::int64_t classes = 1;
  std::int64_t training_images = 0, heldout_images = 0;
  double deviation = 0;  ///< data_deviation()

  /// What networks need to know of it.
  blocks::SampleLayout layout() const { return image_layout(shape, classes); }
};

DataFacts data_facts(const Config& config, const ImageDataset& data);

std::string to_json(const DataFacts& facts);
/// Reads RUN/data.json. Throws InputError naming the file when it is missing or damaged.
DataFacts load_data_facts(const std::string& path);
/// The same for text in memory; `name` stands for the file in messages.
DataFacts parse_data_facts(const std::string& text, const std::string& name);

/// Throws InputError that names both where the config declares (data.shape, data.classes) what the data are not.
void require_declared(const Config& config, const ImageShape& found, std::int64_t classes);

/// Opens data.path as data.format says. Throws InputError as ImageDataset::open() and require_declared() do.
ImageDataset open_data(const Config& config);

}  // namespace blocktrain::trainer
