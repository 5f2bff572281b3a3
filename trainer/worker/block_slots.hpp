#pragma once
/// Which of a rank's blocks lie on its device. A GPU has a slot for the block that trains and, where a rank owns
/// several, one for the next, which comes in while the other computes; the others wait in host memory. On a CPU every
/// block stays where it is, and nothing here does anything.

#include <array>
#include <vector>

#include "kernels/device.hpp"
#include "trainer/plan/rank_memory.hpp"

namespace blocktrain::trainer {

class BlockSlots {
 public:
  /// `owned` as bind_blocks made them, their states filled in. Both outlive this.
  BlockSlots(kernels::Device& device, std::vector<OwnedBlock>& owned);

  /// Makes `block` the one that trains: ops asked for from now on work on block.live.
  void enter(OwnedBlock& block);
  /// `block` will be entered next: begins to bring it in, beside what the device computes now.
  void expect(OwnedBlock& block);
  /// Copies what the device computed to block.state, where checkpoints are taken from; returns when it is there.
  void bring_home(OwnedBlock& block);
  /// `block`, whose parameters, moments and average somebody else wrote to its first slot, is the one that trains. No
  /// block was in a slot before.
  void arrived(OwnedBlock& block);
  /// What the device computed of the block is not needed any more.
  void forget(OwnedBlock& block);

 private:
  /// Puts the block into `slot`: what is there goes home first.
  void load(OwnedBlock& block, std::size_t slot);
  void store(const OwnedBlock& block);

  kernels::Device& device_;
  std::size_t count_;
  std::array<OwnedBlock*, most_slots> in_slot_{};
  std::array<bool, most_slots> changed_{};   ///< it has trained since it was copied
  std::size_t training_ = 0;                 ///< slot of the block that trains
  std::array<bool, most_slots> arriving_{};  ///< its copy has been asked for, but no op waits for it yet
};

}  // namespace blocktrain::trainer
