#pragma once
/// A trained network for other programs, as a folder:
///
///   model.safetensors      every parameter of every block under its full name, float32: "blocks.B.*" is private to
///                          block B, "layers.L.*" counts layers through the whole network
///   blocktrain_dit.py      a PyTorch loader that needs nothing else; `python3 blocktrain_dit.py --check` compares
///   reference.safetensors  inputs and this program's outputs for that comparison
///
/// Metadata of model.safetensors: format "blocktrain-dit", version "1", network (JSON: channels, height, width,
/// classes, patch, model_width, heads, mlp_ratio, noise_features, layers (per block), partition, edges, p_mean, p_std,
/// sigma_data, target_deviation), weights ("parameters" or "average"), steps (per block, JSON), training, experiment,
/// config (YAML), program. reference.safetensors: denoise/z [N, channels, height, width], denoise/sigma [N] float64,
/// denoise/label [N] int32 (-1: none), denoise/d; sample/noise (unit normal), sample/label, sample/images; metadata
/// tolerance, sample_steps.

#include <string>

#include "trainer/eval/trained_network.hpp"

namespace blocktrain::trainer {

/// Largest absolute difference of a denoised estimate in another implementation that --check lets pass; images after
/// several steps may differ by ten times as much.
inline constexpr double export_tolerance = 1e-4;

/// Writes FOLDER/model.safetensors; makes the folder. Throws InputError when it cannot be written to.
void export_weights(const TrainedNetwork& network, const std::string& folder);

/// Writes the loader and the reference.
void export_loader(TrainedNetwork& network, const std::string& folder);

}  // namespace blocktrain::trainer
