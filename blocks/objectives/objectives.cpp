#include "blocks/objectives/objectives.hpp"

#include "blocks/objectives/gaussian_options.hpp"

namespace blocktrain::blocks {
namespace {

std::unique_ptr<Objective> gaussian(const ObjectiveSettings& settings, const SampleLayout& layout, const BlockPlace&,
                                    ParameterLayout&) {
  return make_gaussian(settings.gaussian, layout);
}

constexpr ObjectiveEntry all[] = {
    {"gaussian", "the squared error of numbers found again in Gaussian noise", true, gaussian,
     options_of<GaussianOptions>},
};

}  // namespace

std::span<const ObjectiveEntry> objectives() { return all; }

}  // namespace blocktrain::blocks
