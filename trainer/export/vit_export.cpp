#include "trainer/export/vit_export.hpp"

#include <fmt/format.h>

#include "blocks/architectures/vit_options.hpp"
#include "blocks/objectives/categorical_options.hpp"
#include "trainer/export/vit_reference.hpp"
#include "trainer/plan/network.hpp"

namespace blocktrain::trainer {

Metadata vit_metadata(const TrainedNetwork& network) {
  const Config& config = network.config();
  const auto& options = config.architecture.as<blocks::VitOptions>();
  Metadata m = {{"patch", fmt::format("{}", options.patch)},
                {"mlp_ratio", fmt::format("{}", options.mlp_ratio)},
                {"dropout", fmt::format("{}", options.dropout)}};
  m.merge(image_metadata(network));
  if (trained_objective(config).levels == blocks::Levels::none) return m;
  const auto& objective = config.objective.as<blocks::CategoricalOptions>();
  m["evidence"] = name_of(objective.evidence);
  m["target_embedding"] = name_of(objective.target_embedding);
  m.merge(noise_metadata(network));
  return m;
}

std::unique_ptr<Reference> vit_reference(TrainedNetwork& network) { return std::make_unique<VitReference>(network); }

}  // namespace blocktrain::trainer
