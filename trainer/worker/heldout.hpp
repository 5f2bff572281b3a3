#pragma once
/// The held-out loss of a block while it trains (eval.every_steps): no other block is needed for it.

#include <cstdint>

#include "kernels/device.hpp"
#include "trainer/config/config.hpp"
#include "trainer/data/samples.hpp"
#include "trainer/plan/heldout_memory.hpp"

namespace blocktrain::trainer {

struct HeldoutLoss {
  double loss = 0;  ///< mean weighted loss
  double mse = 0;   ///< mean unweighted loss
  std::int64_t samples = 0;
};

/// Loss of `block` by its weights of now, or their average where it keeps one. The same samples, levels and noise every
/// time, so that the figures of a run can be compared: the first eval.images held-out samples, sigma drawn from the
/// interval of training by numbers of its own (Purpose::heldout_sigma). Allocates nothing.
HeldoutLoss measure_heldout(kernels::Device& device, const Samples& data, const Config& config, OwnedBlock& block,
                            HeldoutMemory& memory);

}  // namespace blocktrain::trainer
