#pragma once
/// The training loop of a rank: its blocks take turns, each at its own step, without waiting for any other block.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "kernels/device.hpp"
#include "trainer/config/config.hpp"
#include "trainer/data/batch_loader.hpp"
#include "trainer/exchange/block_transport.hpp"
#include "trainer/plan/plan.hpp"
#include "trainer/plan/rank_memory.hpp"
#include "trainer/worker/block_slots.hpp"
#include "trainer/worker/block_step.hpp"
#include "trainer/worker/heldout.hpp"
#include "trainer/worker/reporter.hpp"

namespace blocktrain::trainer {

/// Called on the training thread after each step it took (number `step`); for tests that count, interrupt or damage.
using AfterStep = std::function<void(OwnedBlock& block, std::int64_t step)>;

/// What a rank trains with. Everything referred to outlives the worker.
struct WorkerParts {
  const Config& config;
  const Plan& plan;
  comm::Communicator& world;
  Replicas replicas;  ///< of this rank's block
  kernels::Device& device;
  RankArenas& arenas;
  std::vector<OwnedBlock>& owned;
  BlockTransport& transport;    ///< of blocks between ranks
  blocks::SampleLayout layout;  ///< of the data
  BatchLoader& loader;
  const Samples& data;
  HeldoutMemory* heldout;  ///< null without eval.every_steps
  Reporter& reporter;
  int host;
  AfterStep after_step;
};

class Worker {
 public:
  explicit Worker(WorkerParts parts);

  /// Trains until every block of the rank has taken all its steps, has failed, or the run was asked to stop; then what
  /// is not saved yet is saved. How each block ended has been reported. In between, blocks are handed over to ranks
  /// that have none left, and taken over from others (trainer/coordinator/rebalancer.hpp).
  void run();

 private:
  enum class Visit { done, next_block, stop, failed };
  /// False when the run was asked to stop.
  bool train_owned();
  /// Where the coordinator asks for it, sends one of several blocks to another rank. The block trained next is kept
  /// at place `next`.
  void migrate_out(std::vector<OwnedBlock*>& active, std::size_t& next);
  /// Waits for a block of another rank, and receives it; false where none will come.
  bool migrate_in();
  /// Up to parallel.steps_per_visit steps of one block.
  Visit visit(OwnedBlock& block);
  /// Whether the block has to be at rest after `steps` steps: for a checkpoint, a held-out loss, or its end.
  bool rests_after(std::int64_t steps) const;
  bool evaluates_after(std::int64_t steps) const;
  /// The held-out loss of a block that this rank leads.
  void evaluate(OwnedBlock& block);
  void record(const OwnedBlock& block, const StepOutcome& outcome, std::int64_t busy_begin);
  /// Saves the block, if it has taken steps since it was saved last. False where its numbers cannot be saved: it has
  /// failed then, on all of its replicas alike, which is reported.
  bool save(OwnedBlock& block);
  void block_failed(const OwnedBlock& block, const std::string& what);
  /// Behind a checkpoint or a held-out loss, with which the first replica alone is busy, the others wait for it in
  /// their next step as long as Reporter::save may take; in all other steps no longer than for any rank.
  void be_patient_with_replicas(bool patient);
  /// Reports work that is no step, so that its energy is booked apart; returns how long it took in nanoseconds.
  std::int64_t end_work(BusyPurpose purpose, std::int64_t busy_begin);
  comm::Traffic traffic() const;
  const RankPlan& rank_plan() const { return parts_.plan.ranks[static_cast<std::size_t>(parts_.world.rank())]; }
  BlockStepSettings step_settings(const OwnedBlock& block) const;

  WorkerParts parts_;
  std::optional<BlockSlots> slots_;
  BlockStepper stepper_;
  bool patient_ = false;
  comm::Traffic reported_traffic_;           ///< what earlier rows have counted: everything sent is in exactly one row
  std::vector<BlockStepSettings> settings_;  ///< by block of the network, of the owned ones
  std::vector<std::int64_t> saved_;          ///< by block of the network: step of its newest checkpoint, -1 for none
};

}  // namespace blocktrain::trainer
