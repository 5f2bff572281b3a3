#pragma once
/// The training loop of a rank: its blocks take turns, each at its own step, without waiting for any other block.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "kernels/device.hpp"
#include "trainer/config/config.hpp"
#include "trainer/data/batch_loader.hpp"
#include "trainer/exchange/block_transport.hpp"
#include "trainer/exchange/shared_exchange.hpp"
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
  Replicas replicas;       ///< of this rank's block
  SharedExchange* shared;  ///< between all ranks; null where blocks run freely
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
  /// `meets`: the block has come to where it meets the others, or to its end (train_coupled).
  enum class Visit { done, next_block, stop, failed, meets };
  /// False when the run was asked to stop.
  bool train_owned();
  /// Where the coordinator asks for it, sends one of several blocks to another rank. The block trained next is kept
  /// at place `next`.
  void migrate_out(std::vector<OwnedBlock*>& active, std::size_t& next);
  /// Waits for a block of another rank, and receives it; false where none will come.
  bool migrate_in();
  /// Up to parallel.steps_per_visit steps of one block. Coupled, it ends where meeting_ is; with `holds_last` the row
  /// of the step before that is kept in rows_.
  Visit visit(OwnedBlock& block, bool holds_last = false);

  // Blocks that are coupled (coupled_worker.cpp).

  /// Trains all blocks of the rank from meeting to meeting.
  void train_coupled();
  /// Steps of periodically averaged blocks up to meeting_; false where one failed.
  bool train_to_meeting();
  /// The gradients of one step of all blocks of the rank; false where one failed.
  bool compute_gradients();
  /// Meets all ranks, the last time having been after `since` steps: what blocks share is summed or averaged, and
  /// written back where nobody failed.
  MeetingVotes meet(std::int64_t since, bool failed);
  /// Writes what this rank's block number k shares, its gradient or its weights; false where that is not finite.
  bool write_part(std::size_t k, std::span<float> part);
  /// The updates of the step whose gradients met.
  void apply_gradients();
  /// Behind a meeting: what is due of checkpoints, held-out losses and ends; false where a block could not be saved.
  bool rest();
  /// A block of the run failed: those of this rank end where they are.
  void end_with_another();
  /// Calls f(part of the tensor of this block, where it begins among what is shared) for each range that is shared.
  template <class F>
  void for_each_shared(const OwnedBlock& block, const kernels::Tensor& flat, const F& f) const;
  /// Whether the block has to be at rest after `steps` steps: for a checkpoint, a held-out loss, or its end.
  bool rests_after(std::int64_t steps) const;
  bool evaluates_after(std::int64_t steps) const;
  /// The held-out loss of a block that this rank leads.
  void evaluate(OwnedBlock& block);
  /// The row of step number `step`, but for its end.
  StepRecord row_of(const OwnedBlock& block, std::int64_t step, const StepOutcome& outcome, std::int64_t busy_begin);
  /// Closes the last of rows_, which goes on until now, and hands them over.
  void push_rows();
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
  std::vector<StepRecord> rows_;             ///< held back until a meeting has ended
  std::int64_t meeting_ = 0;                 ///< coupled: after how many steps the blocks meet next, or end
  std::int64_t longest_ns_ = 0;              ///< coupled: that a way from one meeting to the next has taken
  std::vector<std::uint8_t> has_failed_;     ///< by block of the network: it was reported as failed
  std::unique_ptr<kernels::Event> met_;      ///< coupled: what a meeting gave is on the device
};

}  // namespace blocktrain::trainer
