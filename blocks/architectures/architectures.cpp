#include "blocks/architectures/architectures.hpp"

#include "blocks/architectures/dit_options.hpp"

namespace blocktrain::blocks {
namespace {

constexpr Architecture all[] = {
    {"dit", "diffusion transformer that generates images of a class", "gaussian", "images", options_of<DitOptions>},
};

}  // namespace

std::span<const Architecture> architectures() { return all; }

}  // namespace blocktrain::blocks
