#pragma once
/// What the export of an architecture's networks adds to what all exports have: a list of one line each. The entries
/// stand in the architecture's own files, dit_export.cpp and the like.

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/eval/trained_network.hpp"
#include "trainer/export/safetensors.hpp"

namespace blocktrain::trainer {

/// A few inputs and what the network makes of them, so that others who load the exported weights can see that they
/// compute the same.
class Reference {
 public:
  virtual ~Reference() = default;
  virtual std::vector<NamedTensor> tensors() const = 0;
  /// What is to be known of them beside the tensors.
  virtual Metadata metadata() const = 0;
};

struct ArchitectureExport {
  std::string_view name;    ///< of the architecture
  std::string_view format;  ///< metadata "format" of the files
  const char* loader_file;
  std::string_view (*loader)();
  /// Of model.safetensors, beside those of every architecture.
  Metadata (*metadata)(const TrainedNetwork& network);
  /// `network` computes on the CPU, in float32: what it puts out defines what is right.
  std::unique_ptr<Reference> (*reference)(TrainedNetwork& network);
  /// An example in Python: what `call` of a loaded model gives.
  std::string_view result, call;
};

/// All of them.
std::span<const ArchitectureExport> architecture_exports();

/// That of a network's architecture. Throws InputError where it has none.
const ArchitectureExport& architecture_export_of(const TrainedNetwork& network);

/// Metadata of networks that denoise: partition, p_mean, p_std, sigma_edges (count + 1, from the highest), sigma_data,
/// noise_features, and of partition equal_information: information (blocks::NoiseSettings).
Metadata noise_metadata(const TrainedNetwork& network);
/// Of networks that cut "image" into patches, whose classes "label" names: image_channels, image_height, image_width,
/// classes.
Metadata image_metadata(const TrainedNetwork& network);

/// Noise levels of a reference's inputs: for each block the upper end of its interval, which is its own, and two levels
/// inside; and sigma_min.
std::vector<double> reference_levels(const blocks::NoiseSchedule& schedule);

}  // namespace blocktrain::trainer
