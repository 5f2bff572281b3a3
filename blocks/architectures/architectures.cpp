#include "blocks/architectures/architectures.hpp"

#include "blocks/architectures/dit_options.hpp"

namespace blocktrain::blocks {
namespace {

/// A factory that is given its own settings alone.
template <auto settings, auto make>
std::unique_ptr<Network> made_by(const ArchitectureSettings& all, const SampleLayout& layout, const BlockPlace& place,
                                 ParameterLayout& parameters) {
  return make(all.*settings, layout, place, parameters);
}

constexpr Architecture all[] = {
    {"dit", "diffusion transformer that generates images of a class", "gaussian", "images",
     made_by<&ArchitectureSettings::dit, make_dit>, options_of<DitOptions>},
};

}  // namespace

std::span<const Architecture> architectures() { return all; }

}  // namespace blocktrain::blocks
