#pragma once
/// Architecture `masked`: partly masked tokens, found again by a transformer that sees all of them at once (method:
/// section 2, masked). Positions are rotary, and the share of masked tokens is the noise level that layers are
/// conditioned on. F is what becomes of every token behind the last norm [N,T,C], of the network's type; logits are the
/// objective's. Trained end to end it is the same network, of all layers and for all levels.

#include <cstdint>
#include <memory>

#include "blocks/architectures/masked_options.hpp"
#include "blocks/batch.hpp"
#include "blocks/network.hpp"
#include "blocks/network_settings.hpp"
#include "blocks/options.hpp"
#include "blocks/parameters.hpp"

namespace blocktrain::blocks {

struct MaskedConfig : MaskedOptions, NetworkSettings {
  std::int64_t classes = 256;         ///< V, symbols; number V stands for a masked token
  std::int64_t noise_features = 256;  ///< sinusoidal features of the noise level
};

/// The network of one block, or with place.count == 1 and all layers the end-to-end network, for tokens of `layout`,
/// whose classes take the place of the config's. Throws InputError naming what does not fit: no tokens, as many of them
/// as the context says, a width that is no multiple of twice its heads, sizes below 1, a dropout outside [0, 1).
std::unique_ptr<Network> make_masked(const MaskedConfig& config, const SampleLayout& layout, const BlockPlace& place,
                                     ParameterLayout& parameters);

/// The same from the keys of masked (MaskedOptions) and what every architecture is told.
std::unique_ptr<Network> masked_from(const Options& own, const NetworkSettings& settings, const SampleLayout& layout,
                                     const BlockPlace& place, ParameterLayout& parameters);

}  // namespace blocktrain::blocks
