#pragma once
/// One training step of one block on one rank: forward and backward over micro-batches, the sum over the
/// replicas of the block, clipping, the check for non-finite numbers, and the update. Nothing of any other block is
/// needed, and after the first step nothing is allocated.

#include <cstdint>
#include <string>

#include "comm/communicator.hpp"
#include "comm/device_communicator.hpp"
#include "kernels/device.hpp"
#include "trainer/config/config.hpp"
#include "trainer/run/rank_memory.hpp"

namespace blocktrain::trainer {

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

/// The group that shares a block's batch: ranks with memory of the host, or of devices. Both null: nobody does.
struct Replicas {
  comm::Communicator* host = nullptr;
  comm::DeviceCommunicator* device = nullptr;
};

/// Takes update number block.state.step of the block: adds to it when the step succeeds. The block has to be in a slot
/// of the device (BlockSlots::enter), bound for micro-batches of micro_batch samples. `batch` is this rank's shard of
/// the global batch, in host memory. All of `replicas` calls together.
StepOutcome take_block_step(kernels::Device& device, OwnedBlock& block, const Batch& batch,
                            const BlockStepSettings& settings, const Replicas& replicas, bool ask_to_stop);

}  // namespace blocktrain::trainer
