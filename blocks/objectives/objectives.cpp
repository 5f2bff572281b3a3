#include "blocks/objectives/objectives.hpp"

#include "blocks/objectives/gaussian_options.hpp"

namespace blocktrain::blocks {
namespace {

constexpr ObjectiveEntry all[] = {
    {"gaussian", "the squared error of numbers found again in Gaussian noise", true, options_of<GaussianOptions>},
};

}  // namespace

std::span<const ObjectiveEntry> objectives() { return all; }

}  // namespace blocktrain::blocks
