#pragma once
/// Training steps of a block on one rank: forward and backward over micro-batches, the sum over the replicas of the
/// block, clipping, the check for non-finite numbers, and the update. Nothing of any other block is needed, and after
/// the first step nothing is allocated.
///
/// On a GPU a step may be asked for while the one before it runs: its batch is copied beside that, and what came out of
/// a step is looked at while the next one runs. So the GPU does not wait for the host between steps, nor do replicas
/// that sum by NCCL: their sum is one more piece of work behind the gradient.

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "kernels/device.hpp"
#include "trainer/config/config.hpp"
#include "trainer/exchange/replica_transport.hpp"
#include "trainer/plan/rank_memory.hpp"

namespace blocktrain::trainer {

/// What a step did, as far as this rank saw it. Losses are sums over this rank's samples.
struct StepOutcome {
  double loss_sum = 0, mse_sum = 0;
  std::int64_t samples = 0;
  double learning_rate = 0, gradient_norm = 0;
  bool finite = true;  ///< false: the update was not made and the block has to stop
  bool stop = false;   ///< this rank or a replica of the block was asked to stop after this step
};

/// Settings of a block's steps that stay the same during a run.
struct BlockStepSettings {
  std::uint64_t seed = 0;  ///< blocks.seeds[b], or seed
  OptimizerConfig optimizer;
  std::int64_t decay_steps = 0;  ///< resolved_decay_steps()
  std::int64_t global_batch = 1;
  std::int64_t micro_batch = 1;
};

/// Takes the steps of a rank's blocks. A block is to be in a slot of the device (BlockSlots::enter), bound for
/// micro-batches of micro_batch samples, and its steps are to be finished before another block's are begun.
class BlockStepper {
 public:
  /// `replicas`: of the rank's blocks; outlive this, as does the device.
  BlockStepper(kernels::Device& device, const Replicas& replicas);

  /// Steps that may be under way at a time: one where the host computes, or has a part in summing over replicas.
  int most_under_way() const { return most_under_way_; }
  /// Whether a request to stop is known to all replicas only once the step it was made with is finished. Until then all
  /// have to ask for the same steps.
  bool agrees_on_stops() const { return !replicas_.none(); }
  int under_way() const { return under_way_; }

  /// Asks for the next step of the block: number block.state.step + under_way(). Returns when `batch`, this rank's
  /// shard of the global batch in host memory, has been read. All replicas call together.
  void begin(OwnedBlock& block, const blocks::Batch& batch, const BlockStepSettings& settings, bool ask_to_stop);
  /// Waits for the oldest step under way; adds to block.state.step when it succeeded.
  StepOutcome finish(OwnedBlock& block);

  /// Of a step of synchronized blocks, what comes before their meeting: the block's gradient, summed over its replicas,
  /// and the norm of what is its own alone; block.computed says what became of it. Returns when it is there. `finite`
  /// is of what is its own. No step of begin() may be under way.
  StepOutcome compute_gradient(OwnedBlock& block, const blocks::Batch& batch, const BlockStepSettings& settings);
  /// And what comes behind it: the update, by the gradient that is in block.gradient by now, which for what blocks
  /// share has a norm of its own. Adds to block.state.step.
  void apply_gradient(OwnedBlock& block, const BlockStepSettings& settings);

  /// Waits for the steps asked for behind one that failed, which have changed nothing.
  void discard();

 private:
  /// What is known of a step before it is finished.
  struct Asked {
    std::int64_t samples = 0;
    bool stop = false;
    std::unique_ptr<kernels::Event> done;
  };
  /// Writes the state of step number `step` and brings the batch to where ops read it; what it returns is that.
  blocks::Batch prepare(OwnedBlock& block, const blocks::Batch& batch, const BlockStepSettings& settings,
                        std::size_t place);
  /// Asks for forward and backward over the micro-batches of `input`.
  void accumulate(OwnedBlock& block, const blocks::Batch& input, const BlockStepSettings& settings);
  void read_batch(OwnedBlock& block, const blocks::Batch& batch);
  void await(const Asked& asked);

  kernels::Device& device_;
  Replicas replicas_;
  int most_under_way_;
  int under_way_ = 0;
  std::size_t oldest_ = 0;
  std::array<Asked, most_steps_under_way> asked_;
};

}  // namespace blocktrain::trainer
