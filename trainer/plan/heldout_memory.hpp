#pragma once
/// Memory in which held-out losses are measured while a run trains (eval.every_steps).

#include <cstdint>
#include <vector>

#include "blocks/batch.hpp"
#include "blocks/block.hpp"
#include "kernels/step_state.hpp"
#include "kernels/tensor.hpp"
#include "trainer/plan/rank_memory.hpp"

namespace blocktrain::trainer {

struct HeldoutMemory {
  blocks::Batch batch;                  ///< in host memory
  blocks::Batch input;                  ///< where it is computed with
  kernels::Tensor sigma;                ///< of the device, like the state below; empty without noise
  kernels::StepState* state = nullptr;  ///< of step 0: the same draws every time
  kernels::Tensor losses;               ///< [2, micro_batch] in host memory
  std::vector<std::int64_t> indices;    ///< of the samples in `batch`

  /// Takes it, in the arenas of batches and input: one micro-batch of samples and the noise levels that `block` has for
  /// them. On measuring arenas that is all.
  static HeldoutMemory bind(RankArenas& arenas, bool gpu, const blocks::SampleLayout& data, const blocks::Block& block,
                            std::int64_t micro_batch);
};

}  // namespace blocktrain::trainer
