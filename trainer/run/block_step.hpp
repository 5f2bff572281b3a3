#pragma once
/// One training step of one block on one rank: forward and backward over micro-batches, the sum over the
/// replicas of the block, clipping, the check for non-finite numbers, and the update. Nothing of any other block is
/// needed, and after the first step nothing is allocated.

#include <cstdint>
#include <string>

#include "blocks/denoiser.hpp"
#include "comm/communicator.hpp"
#include "kernels/ops.hpp"
#include "trainer/config/config.hpp"
#include "trainer/run/block_state.hpp"

namespace blocktrain::trainer {

/// Floats behind the gradient in its buffer that are summed with it among replicas: one says "stop".
inline constexpr std::int64_t gradient_tail = 16;

/// What a step did, as far as this rank saw it. Losses are sums over this rank's samples.
struct StepOutcome {
  double loss_sum = 0, mse_sum = 0;
  std::int64_t samples = 0;
  double learning_rate = 0, gradient_norm = 0;
  bool finite = true;  ///< false: the update was not made and the block has to stop
  bool stop = false;   ///< a replica of this block was asked to stop after this step
};

/// Settings of a block's steps that stay the same during a run.
struct BlockStepSettings {
  std::uint64_t seed = 0;  ///< blocks.seeds[b], or seed
  kernels::SigmaInterval interval;
  kernels::LossWeighting weighting = kernels::LossWeighting::edm;
  OptimizerConfig optimizer;
  std::int64_t decay_steps = 0;  ///< resolved_decay_steps()
  std::int64_t global_batch = 1;
  std::int64_t micro_batch = 1;
};

/// A micro-batch-able batch in host memory: what a rank's shard of the global batch is made of.
struct HostBatch {
  kernels::Tensor images;          ///< [n, channels, height, width]
  kernels::Tensor labels;          ///< int32 [n]
  std::uint32_t first_sample = 0;  ///< index of sample 0 in the global batch
};

/// Takes update number state.step of the block: adds to state.step when it succeeds. `denoiser` has to be bound to
/// state.parameters, to the first parameter_elements() floats of `gradient` and to activations for micro_batch samples.
/// `gradient` holds parameter_elements() + gradient_tail floats. `replicas` is null, or the group that shares the
/// batch of this block; all of it calls together.
StepOutcome take_block_step(kernels::Ops& ops, blocks::Denoiser& denoiser, BlockState& state,
                            const kernels::Tensor& gradient, const HostBatch& batch, const BlockStepSettings& settings,
                            comm::Communicator* replicas, bool ask_to_stop);

}  // namespace blocktrain::trainer
