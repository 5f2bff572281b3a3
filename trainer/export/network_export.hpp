#pragma once
/// A trained network as a folder for others:
///   model.safetensors           all parameters under their names, float32; metadata: see network_metadata. What all
///                               blocks share is there once, or where they do not agree, as blocks.B.NAME of each
///   reference.safetensors       a few inputs and what the network makes of them
///   blocktrain_ARCHITECTURE.py  loads both with PyTorch alone
/// Metadata of both files, all text: format "blocktrain-ARCHITECTURE", format_version "1"; what else is in them, and in
/// reference.safetensors, the architecture says (architecture_export.hpp).

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/eval/trained_network.hpp"
#include "trainer/export/safetensors.hpp"

namespace blocktrain::trainer {

inline constexpr const char* model_file = "model.safetensors";
inline constexpr const char* reference_file = "reference.safetensors";

/// Metadata of model.safetensors: format, format_version, blocktrain (version of the program), architecture, width,
/// heads, layers_per_block ("3,3,3,3"), training (block_local or end_to_end), experiment (identity, as in checkpoints),
/// weights (average or last), steps (by block), and the architecture's own. Decimal numbers are exact: reading them
/// gives the same double.
Metadata network_metadata(const TrainedNetwork& network);

struct ExportedFile {
  std::string name;
  std::uintmax_t bytes = 0;
  bool replaced = false;  ///< of an earlier export
};

struct ExportedFolder {
  std::vector<ExportedFile> files;
  std::vector<std::string> removed;  ///< of an earlier export: what says nothing of these weights
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
