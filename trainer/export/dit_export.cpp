#include "trainer/export/dit_export.hpp"

#include <fmt/format.h>

#include "blocks/architectures/dit_options.hpp"
#include "trainer/export/dit_reference.hpp"

namespace blocktrain::trainer {

Metadata dit_metadata(const TrainedNetwork& network) {
  const auto& options = network.config().architecture.as<blocks::DitOptions>();
  Metadata m = {{"patch", fmt::format("{}", options.patch)},
                {"mlp_ratio", fmt::format("{}", options.mlp_ratio)},
                {"target_deviation", fmt::format("{}", network.data().deviation)}};
  m.merge(image_metadata(network));
  m.merge(noise_metadata(network));
  return m;
}

std::unique_ptr<Reference> dit_reference(TrainedNetwork& network) { return std::make_unique<DitReference>(network); }

}  // namespace blocktrain::trainer
