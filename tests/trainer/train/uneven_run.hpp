#pragma once
/// A training in which a rank without a block left surely takes one over from another, however fast the machine.

#include <atomic>
#include <chrono>
#include <thread>

#include "trainer/train/train.hpp"

namespace blocktrain::trainer::testing {

/// For 4 blocks of `steps` steps on 3 ranks: the first, which owns blocks 0 and 1, waits in their first steps until
/// blocks 2 and 3 are done, and takes its time after that until a block has left it.
class UnevenRun {
 public:
  explicit UnevenRun(std::int64_t steps) : last_(steps - 1) {}

  /// True once: after the first step of a block on the rank that took it over.
  bool operator()(const OwnedBlock& block, std::int64_t step) {
    if (block.block >= 2) {
      if (step == last_) ++done_;
      return false;
    }
    const auto rank = std::this_thread::get_id();
    if (first_ == std::thread::id()) first_ = rank;
    if (rank != first_) return !moved_.exchange(true);
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (done_ < 2 && std::chrono::steady_clock::now() < give_up)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (!moved_) std::this_thread::sleep_for(std::chrono::milliseconds(100));
    return false;
  }
  bool moved() const { return moved_; }

 private:
  std::int64_t last_;
  std::thread::id first_;  ///< the first rank's training thread alone sets it, before the others can come here
  std::atomic<int> done_{0};
  std::atomic<bool> moved_{false};
};

}  // namespace blocktrain::trainer::testing
