#pragma once
/// Export of networks of architecture `dit`, format "blocktrain-dit". Metadata of its own: image_channels,
/// image_height, image_width, classes, patch, mlp_ratio, noise_features, partition, p_mean, p_std, sigma_edges (count +
/// 1, from the highest), sigma_data, target_deviation; of reference.safetensors (dit_reference.hpp): guidance, steps.

#include "trainer/export/architecture_export.hpp"
#include "trainer/export/loader_source.hpp"

namespace blocktrain::trainer {

Metadata dit_metadata(const TrainedNetwork& network);
std::unique_ptr<Reference> dit_reference(TrainedNetwork& network);

inline constexpr ArchitectureExport dit_export{
    "dit",         "blocktrain-dit", "blocktrain_dit.py",          dit_loader, dit_metadata,
    dit_reference, "images",         "sample([0, 1, 2], steps=18)"};

}  // namespace blocktrain::trainer
