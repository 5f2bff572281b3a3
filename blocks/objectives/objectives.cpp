#include "blocks/objectives/objectives.hpp"

namespace blocktrain::blocks {
namespace {

std::unique_ptr<Objective> gaussian(const ObjectiveSettings& settings, const SampleLayout& layout, const BlockPlace&,
                                    ParameterLayout&) {
  return make_gaussian(settings.gaussian, layout);
}

constexpr ObjectiveEntry all[] = {
    {"gaussian", gaussian},
};

}  // namespace

std::span<const ObjectiveEntry> objectives() { return all; }

}  // namespace blocktrain::blocks
