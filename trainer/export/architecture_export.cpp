#include "trainer/export/architecture_export.hpp"

#include <fmt/format.h>

#include <cmath>

#include "blocks/options.hpp"
#include "kernels/error.hpp"
#include "trainer/export/dit_export.hpp"
#include "trainer/export/vit_export.hpp"
#include "trainer/plan/network.hpp"
#include "trainer/support/text.hpp"

namespace blocktrain::trainer {
namespace {

constexpr ArchitectureExport all[] = {
    dit_export,
    vit_export,
};

/// Width of the noise features, which no key of the config chooses.
std::int64_t noise_features(const blocks::Block& block) {
  for (const blocks::Parameter& p : block.parameters()) {
    if (p.name.ends_with(".noise_embedding.input.weight")) return p.shape.at(1);
  }
  throw RunError("the network has no noise embedding");
}

}  // namespace

std::span<const ArchitectureExport> architecture_exports() { return all; }

const ArchitectureExport& architecture_export_of(const TrainedNetwork& network) {
  const std::string& name = network.config().model.architecture;
  const ArchitectureExport* found = blocks::entry_named(architecture_exports(), name);
  if (found == nullptr) throw InputError("networks of architecture '" + name + "' cannot be exported");
  return *found;
}

Metadata noise_metadata(const TrainedNetwork& network) {
  const blocks::NoiseSettings& noise = network.config().noise;
  Metadata m = {{"noise_features", fmt::format("{}", noise_features(network.block(0)))},
                {"partition", std::string(name_of(noise.partition))},
                {"p_mean", fmt::format("{}", noise.p_mean)},
                {"p_std", fmt::format("{}", noise.p_std)},
                {"sigma_edges", join(noise_schedule(network.config()).edges(), ",")},
                {"sigma_data", fmt::format("{}", network.config().noise.sigma_data)}};
  if (needs_information(network.config())) m["information"] = join(noise.information, ",");
  return m;
}

Metadata image_metadata(const TrainedNetwork& network) {
  const blocks::SampleLayout& layout = network.data().layout;
  const std::vector<std::int64_t>& shape = layout.field("image").shape;
  return {{"image_channels", fmt::format("{}", shape[0])},
          {"image_height", fmt::format("{}", shape[1])},
          {"image_width", fmt::format("{}", shape[2])},
          {"classes", fmt::format("{}", layout.classes)}};
}

std::vector<double> reference_levels(const blocks::NoiseSchedule& schedule) {
  std::vector<double> sigmas;
  for (int b = 0; b < schedule.count(); ++b) {
    const blocks::NoiseRange own = schedule.owned(b);
    for (const double fraction : {0.0, 0.4, 0.8}) {
      const double sigma = std::exp(std::log(own.hi) + fraction * (std::log(own.lo) - std::log(own.hi)));
      sigmas.push_back(fraction == 0 ? own.hi : sigma);
    }
  }
  sigmas.push_back(schedule.settings().sigma_min);
  return sigmas;
}

}  // namespace blocktrain::trainer
