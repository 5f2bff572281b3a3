#pragma once
/// Objective `gaussian`: a continuous target with normal noise on it, z = y + sigma*eps, and the squared error of what
/// EDM's preconditioning makes of the output F, D = c_skip z + c_out F (method: section 1, preconditioning and training
/// step). F has the shape of the target.

#include <memory>
#include <string_view>

#include "blocks/network_settings.hpp"
#include "blocks/objective.hpp"
#include "blocks/objectives/gaussian_options.hpp"
#include "blocks/options.hpp"
#include "blocks/parameters.hpp"

namespace blocktrain::blocks {

struct GaussianConfig {
  std::string_view target = "image";  ///< the field that is denoised; a literal
  double sigma_data = 0.5;            ///< deviation of the target per component
  kernels::LossWeighting weighting = kernels::LossWeighting::edm;
};

/// Throws InputError when the data have no such field.
std::unique_ptr<Objective> make_gaussian(const GaussianConfig& config, const SampleLayout& layout);

/// The same for images, from its keys (GaussianOptions).
std::unique_ptr<Objective> gaussian_from(const Options& own, const NetworkSettings& settings,
                                         const SampleLayout& layout, const BlockPlace& place,
                                         ParameterLayout& parameters);

}  // namespace blocktrain::blocks
