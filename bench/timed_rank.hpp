#pragma once
/// One rank with its blocks, ready to train on numbers of its own making: what bench_step takes times of.

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/device.hpp"
#include "trainer/plan/plan.hpp"
#include "trainer/tasks/images/image_layout.hpp"
#include "trainer/worker/block_slots.hpp"
#include "trainer/worker/block_step.hpp"

namespace blocktrain::bench {

struct TimedSettings {
  trainer::Config config;
  blocks::SampleLayout data = trainer::image_layout({1, 8, 8}, 10);
  int threads = 1;
  int block = 1;           ///< the one that is timed, when it is one
  int blocks_in_turn = 0;  ///< as many blocks of one rank take turns; 0: one block alone
  bool deterministic = true, graphs = true;
};

/// What `rank` of settings' plan takes: a rank of its own for each block, or one for all of them.
trainer::Plan plan_of(const TimedSettings& settings);
std::size_t timed_rank_index(const TimedSettings& settings);

/// Peak and current bytes of this process in RAM, as Linux counts them: "VmHWM", "VmRSS".
long resident_bytes(const char* key);

class TimedRank {
 public:
  TimedRank(const TimedSettings& settings, const trainer::Plan& plan);

  /// `steps` steps of a block that has been entered, the way a run takes them: the next is asked for before the last is
  /// finished, where the device allows it. The seconds from end to end of steps, the first counted from the call.
  std::vector<double> row(trainer::OwnedBlock& block, int steps);

  std::vector<trainer::OwnedBlock>& blocks() { return owned_; }
  trainer::BlockSlots& slots() { return *slots_; }
  kernels::Device& device() { return *device_; }
  long idle_bytes() const { return idle_; }
  /// Of the device's memory, what has been taken since this process could use it; 0 on a CPU.
  std::size_t device_bytes() const;

 private:
  void fill(const blocks::Batch& batch, const TimedSettings& settings) const;

  std::unique_ptr<kernels::Device> device_;
  long idle_;
  std::unique_ptr<trainer::RankArenas> arenas_;
  std::vector<trainer::OwnedBlock> owned_;
  std::unique_ptr<trainer::BlockSlots> slots_;
  std::vector<blocks::Batch> batches_;
  trainer::BlockStepSettings step_settings_;
  std::unique_ptr<trainer::BlockStepper> stepper_;
};

}  // namespace blocktrain::bench
