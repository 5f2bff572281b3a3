#pragma once
/// Dropout of a network: what of a micro-batch is dropped, keyed by the layer, the place in it, the sample and the
/// element, so that any pass over any range of samples draws the same masks, a repeated or a backward one among them.

#include <cstdint>

#include "blocks/network.hpp"

namespace blocktrain::blocks {

struct Dropout {
  /// Places in a layer that have masks of their own.
  enum class Place : std::uint8_t {
    input = 0,      ///< in front of the layer: the embeddings, of the first one of a block
    attention = 1,  ///< what the attention adds
    mlp = 2,        ///< what the MLP adds
  };

  double p = 0;  ///< share that is dropped
  kernels::RandomKey key;
  const kernels::StepState* state = nullptr;  ///< null: nothing is dropped
  std::uint32_t first_sample = 0;             ///< index of sample 0 in the global batch

  /// Of the micro-batch `input`.
  static Dropout of(const NetworkInput& input, double p) {
    Dropout d{p, input.key, input.state, input.batch.first_sample};
    d.key.purpose = kernels::Purpose::dropout;
    return d;
  }
  /// Of its samples from `begin` on.
  Dropout from(std::int64_t begin) const {
    Dropout d = *this;
    d.first_sample += static_cast<std::uint32_t>(begin);
    return d;
  }
  /// x [n,T,C] = its part that is kept, scaled up; also from the gradient of that to the gradient of x.
  void apply(kernels::Ops& ops, const kernels::Tensor& x, int layer, Place place) const {
    if (p == 0 || state == nullptr) return;
    kernels::RandomKey mask = key;
    mask.block = 4 * static_cast<std::uint32_t>(layer) + static_cast<std::uint32_t>(place);
    ops.dropout(x, x, p, mask, state, first_sample);
  }
};

}  // namespace blocktrain::blocks
