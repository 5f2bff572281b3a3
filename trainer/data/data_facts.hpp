#pragma once
/// What a run was trained on, as RUN/data.json keeps it: enough to rebuild the network without the data, and to notice
/// other data on resume.
///
/// Version 1 of the format is for images with a class each: {"format": "blocktrain-data", "version": 1, "path",
/// "digest", "channels", "height", "width", "classes", "training_images", "heldout_images", "deviation"}.
///
/// Version 2 is for all else: {"format": "blocktrain-data", "version": 2, "path", "digest", "fields": [{"name", "type",
/// "shape"}, ...] of one sample, "targets" per sample, "classes", "symbols", "training_samples", "heldout_samples",
/// "training_targets", "heldout_targets", "deviation"}.

#include <cstdint>
#include <string>

#include "blocks/batch.hpp"

namespace blocktrain::trainer {

struct DataFacts {
  std::string path;    ///< data.path as it was given
  std::string digest;  ///< tells one data set from another
  blocks::SampleLayout layout;
  std::int64_t training_samples = 0, heldout_samples = 0;
  double deviation = 0;  ///< per component of the training samples as the network sees them (method: section 1, sd_y)
  /// Where the targets of a sample are of a kind of its own: all that the splits hold, those outside every sample too.
  std::int64_t training_targets = 0, heldout_targets = 0;
  std::string symbols;  ///< what the classes of a target stand for, in words: "bytes"; may be empty
};

std::string to_json(const DataFacts& facts);
/// Reads RUN/data.json. Throws InputError naming the file when it is missing or damaged.
DataFacts load_data_facts(const std::string& path);
/// The same for text in memory; `name` stands for the file in messages.
DataFacts parse_data_facts(const std::string& text, const std::string& name);

}  // namespace blocktrain::trainer
