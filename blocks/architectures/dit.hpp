#pragma once
/// Architecture `dit`: images denoised by a diffusion transformer (Peebles & Xie 2023) under EDM's preconditioning
/// (method: section 2, dit). A sample is an image, which is the target, and a label; F has the shape of the image.

#include <cstdint>
#include <memory>

#include "blocks/activation_checkpointing.hpp"
#include "blocks/architectures/dit_options.hpp"
#include "blocks/batch.hpp"
#include "blocks/network.hpp"
#include "blocks/parameters.hpp"

namespace blocktrain::blocks {

struct DitConfig : DitOptions {
  std::int64_t channels = 1, height = 28, width_px = 28;  ///< of an image
  std::int64_t classes = 10;
  std::int64_t width = 384;  ///< C, of a token
  int heads = 6;
  std::int64_t noise_features = 256;  ///< sinusoidal features of the noise level
  double sigma_data = 0.5;
  /// Tokens that run through the layers together: enough for the matrix products to be efficient, few enough for
  /// scratch to stay small.
  std::int64_t rows_at_once = 2048;
  ActivationCheckpointing checkpointing = ActivationCheckpointing::none;
  /// Without checkpointing, also keeps what costs a layer little to compute again: modulated norms, the stream between
  /// attention and MLP, and the GELU, 7 C more numbers per token. For a device whose memory is large, and slower than
  /// its arithmetic by more than a CPU's.
  bool keeps_cheap = false;

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

}  // namespace blocktrain::blocks
