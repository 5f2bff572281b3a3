#pragma once
/// What every architecture is told beside its own keys: the sizes that all networks have, what they are trained for,
/// and how the device wants them computed.

#include <cstdint>

#include "blocks/activation_checkpointing.hpp"

namespace blocktrain::blocks {

struct NetworkSettings {
  std::int64_t width = 384;  ///< C, of a token
  int heads = 6;
  double sigma_data = 0.5;  ///< deviation of the target, for the preconditioning
  /// Whether the network denoises. Without noise it is made without what only denoising needs: the noisy input and the
  /// conditioning on a level.
  bool denoises = true;
  /// Tokens that run through the layers together: enough for the matrix products to be efficient, few enough for
  /// scratch to stay small.
  std::int64_t rows_at_once = 2048;
  std::int64_t samples_at_once = 0;  ///< above 0: so many samples run together, whatever rows_at_once says
  /// That number, for samples of so many tokens.
  std::int64_t rows_together(std::int64_t tokens) const {
    return samples_at_once > 0 ? samples_at_once * tokens : rows_at_once;
  }
  ActivationCheckpointing checkpointing = ActivationCheckpointing::none;
  /// Without checkpointing, also keeps what costs a layer little to compute again: modulated norms, the stream between
  /// attention and MLP, and the GELU, 7 C more numbers per token. For a device whose memory is large, and slower than
  /// its arithmetic by more than a CPU's.
  bool keeps_cheap = false;
};

}  // namespace blocktrain::blocks
