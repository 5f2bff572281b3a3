#pragma once
/// Architecture `dit`: images denoised by a diffusion transformer (Peebles & Xie 2023) under EDM's preconditioning
/// (method: section 2, dit). A sample is an image, which is the target, and a label; F has the shape of the image.

#include <cstdint>
#include <memory>

#include "blocks/architectures/dit_options.hpp"
#include "blocks/batch.hpp"
#include "blocks/network.hpp"
#include "blocks/network_settings.hpp"
#include "blocks/options.hpp"
#include "blocks/parameters.hpp"

namespace blocktrain::blocks {

struct DitConfig : DitOptions, NetworkSettings {
  std::int64_t channels = 1, height = 28, width_px = 28;  ///< of an image
  std::int64_t classes = 10;
  std::int64_t noise_features = 256;  ///< sinusoidal features of the noise level

  std::int64_t tokens() const { return (height / patch) * (width_px / patch); }
  std::int64_t patch_elements() const { return channels * patch * patch; }
  std::int64_t image_elements() const { return channels * height * width_px; }
};

/// Throws InputError naming the number that does not fit: sizes at least 1, the image divisible into patches, the width
/// by its heads and by 4 (positions), noise_features even, label_dropout in [0, 1], sigma_data above 0.
void check(const DitConfig& config);

/// `config` for the images and classes of `layout`. Throws InputError when there are none, or they cannot be cut into
/// patches.
DitConfig dit_for(DitConfig config, const SampleLayout& layout);

/// The network of one block, or with place.count == 1 and all layers the end-to-end network, for samples of `layout`.
/// Throws InputError as check() and dit_for() do.
std::unique_ptr<Network> make_dit(const DitConfig& config, const SampleLayout& layout, const BlockPlace& place,
                                  ParameterLayout& parameters);

/// The same from the keys of dit (DitOptions) and what every architecture is told.
std::unique_ptr<Network> dit_from(const Options& own, const NetworkSettings& settings, const SampleLayout& layout,
                                  const BlockPlace& place, ParameterLayout& parameters);

}  // namespace blocktrain::blocks
