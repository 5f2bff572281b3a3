#include "blocks/architectures/architectures.hpp"

#include "blocks/architectures/dit.hpp"
#include "blocks/architectures/masked.hpp"
#include "blocks/architectures/vit.hpp"

namespace blocktrain::blocks {
namespace {

constexpr Architecture all[] = {
    {"dit", "diffusion transformer that generates images of a class", "gaussian", "images", dit_from,
     options_of<DitOptions>},
    {"masked", "transformer that finds masked tokens of a text", "masked", "tokens", masked_from,
     options_of<MaskedOptions>},
    {"vit",
     "vision transformer that finds the class of an image",
     "categorical",
     "labels",
     vit_from,
     options_of<VitOptions>,
     {},
     "classification"},
};

}  // namespace

std::span<const Architecture> architectures() { return all; }

}  // namespace blocktrain::blocks
