#pragma once
/// Export of networks of architecture `vit`, format "blocktrain-vit". Metadata of its own: image_metadata(), patch,
/// mlp_ratio, dropout; of networks that denoise noise_metadata(), evidence (learned or analytic) and target_embedding
/// (frozen, periodic or synchronized).

#include "trainer/export/architecture_export.hpp"
#include "trainer/export/loader_source.hpp"

namespace blocktrain::trainer {

Metadata vit_metadata(const TrainedNetwork& network);

/// A VitReference (vit_reference.hpp).
std::unique_ptr<Reference> vit_reference(TrainedNetwork& network);

inline constexpr ArchitectureExport vit_export{"vit",      "blocktrain-vit",  "blocktrain_vit.py",
                                               vit_loader, vit_metadata,      vit_reference,
                                               "logits",   "classify(images)"};

}  // namespace blocktrain::trainer
