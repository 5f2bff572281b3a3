#pragma once
/// The held-out loss of a block while it trains (eval.every_steps): no other block is needed for it.

#include <cstdint>
#include <vector>

#include "kernels/ops.hpp"
#include "trainer/config/config.hpp"
#include "trainer/plan/rank_memory.hpp"
#include "trainer/tasks/images/image_dataset.hpp"

namespace blocktrain::trainer {

struct HeldoutLoss {
  double loss = 0;  ///< mean weighted loss
  double mse = 0;   ///< mean unweighted loss
  std::int64_t samples = 0;
};

/// Images and noise levels of held-out losses, in the arenas of batches and input. The same images, levels and noise
/// every time, so that the figures of a run can be compared: the first eval.images held-out images, sigma drawn
/// from the interval of training by numbers of its own (Purpose::heldout_sigma).
class Heldout {
 public:
  /// Takes the memory: one micro-batch of images and a noise level each. On a measuring arena that is all.
  static void bind(RankArenas& arenas, bool gpu, const blocks::SampleLayout& data, std::int64_t micro_batch,
                   Heldout& out);

  /// Loss of `block` by its weights of now, or their average where it keeps one. Allocates nothing.
  HeldoutLoss measure(kernels::Device& device, const ImageDataset& data, const Config& config, OwnedBlock& block) const;

 private:
  blocks::Batch batch_;        ///< in host memory
  blocks::Batch input_;        ///< where it is computed with
  kernels::Tensor sigma_;      ///< of the device, like the state below
  kernels::StepState* state_;  ///< of step 0: the same draws every time
  kernels::Tensor losses_;     ///< [2, micro_batch] in host memory
};

}  // namespace blocktrain::trainer
