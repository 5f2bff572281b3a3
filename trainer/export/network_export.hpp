#pragma once
/// A trained network as a folder for others:
///   model.safetensors      all parameters under their names, float32; metadata: see network_metadata
///   reference.safetensors  a few inputs and what the network makes of them (reference_batch.hpp)
///   blocktrain_dit.py      loads both with PyTorch alone
/// Metadata of both files, all text: format "blocktrain-dit", format_version "1". Of reference.safetensors besides:
/// guidance, steps.

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/eval/trained_network.hpp"
#include "trainer/export/safetensors.hpp"

namespace blocktrain::trainer {

inline constexpr const char* model_file = "model.safetensors";
inline constexpr const char* reference_file = "reference.safetensors";
inline constexpr const char* loader_file = "blocktrain_dit.py";

/// Metadata of model.safetensors: format, format_version, blocktrain (version of the program), architecture,
/// image_channels, image_height, image_width, classes, patch, width, heads, mlp_ratio, noise_features, layers_per_block
/// ("3,3,3,3"), training (block_local or end_to_end), partition, p_mean, p_std, sigma_edges (count + 1, from the
/// highest), sigma_data, target_deviation, experiment (identity, as in checkpoints), weights (average or last), steps
/// (by block). Decimal numbers are exact: reading them gives the same double.
Metadata network_metadata(const TrainedNetwork& network);

struct ExportedFile {
  std::string name;
  std::uintmax_t bytes = 0;
  bool replaced = false;  ///< of an earlier export
};

struct ExportedFolder {
  std::vector<ExportedFile> files;
  std::string removed;  ///< a file of an earlier export that says nothing of these weights; empty: none
};

/// Safetensors files of an export, and its loader.
const FileKind& weights_kind();
const FileKind& loader_kind();

/// Throws InputError, naming --out, when `folder` exists and is neither an empty folder nor an earlier export, whose
/// files may be replaced, or when a file that would be replaced is none of an export. Creates nothing.
void require_export_folder(const std::string& folder);

/// Writes `network` to `folder`, which is created; weights_only: model.safetensors alone. Throws InputError as
/// require_export_folder and RunError when the system refuses.
ExportedFolder export_network(TrainedNetwork& network, const std::string& folder, bool weights_only);

}  // namespace blocktrain::trainer
