#pragma once
/// Architecture `vit`: the class of an image, by a transformer over its patches and one more token (method: section 2,
/// vit). For a denoiser that token is the noisy embedding of the class; end to end it is learnt, and the network is the
/// plain classifier: pre-norm layers without conditioning. F, of the token's width, is what that token becomes.

#include <cstdint>
#include <memory>

#include "blocks/architectures/vit_options.hpp"
#include "blocks/batch.hpp"
#include "blocks/network.hpp"
#include "blocks/network_settings.hpp"
#include "blocks/options.hpp"
#include "blocks/parameters.hpp"

namespace blocktrain::blocks {

struct VitConfig : VitOptions, NetworkSettings {
  std::int64_t channels = 1, height = 28, width_px = 28;  ///< of an image
  std::int64_t noise_features = 256;                      ///< sinusoidal features of the noise level

  std::int64_t patches() const { return (height / patch) * (width_px / patch); }
  std::int64_t tokens() const { return patches() + 1; }
  std::int64_t patch_elements() const { return channels * patch * patch; }
};

/// The network of one block, or with place.count == 1 and all layers the end-to-end network, for the images of
/// `layout`, whose shape takes the place of the config's. Throws InputError naming what does not fit: no images, sizes
/// below 1, an image that patches do not divide, a width that is no multiple of its heads and of 4, a dropout outside
/// [0, 1).
std::unique_ptr<Network> make_vit(const VitConfig& config, const SampleLayout& layout, const BlockPlace& place,
                                  ParameterLayout& parameters);

/// The same from the keys of vit (VitOptions) and what every architecture is told.
std::unique_ptr<Network> vit_from(const Options& own, const NetworkSettings& settings, const SampleLayout& layout,
                                  const BlockPlace& place, ParameterLayout& parameters);

}  // namespace blocktrain::blocks
