#pragma once
/// Meetings of all ranks of a run about what its blocks share: each brings one part per block, and all get the sum,
/// added up in the order of the blocks, so that it has the same bits on any number of ranks. Parts pass through host
/// memory.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "comm/communicator.hpp"
#include "comm/placement.hpp"
#include "kernels/tensor.hpp"
#include "trainer/plan/coupling.hpp"

namespace blocktrain::trainer {

/// What a rank tells the others at a meeting; what it hears is whether any of them says so.
struct MeetingVotes {
  bool stop = false;    ///< it was asked to save and end
  bool failed = false;  ///< a block of it cannot go on
};

class SharedExchange {
 public:
  /// `ranks`: all of the run, this thread's alone to call collectives of. `memory`: float32 [2, elements +
  /// meeting_votes] of the host, which outlives this, as do the others.
  SharedExchange(comm::Communicator& ranks, const comm::Placement& placement, const kernels::Tensor& memory);

  /// Writes the part of this rank's block number k into a span of `elements` numbers; false where it is no good, which
  /// counts as a vote that the rank has failed.
  using WritePart = std::function<bool(std::size_t k, std::span<float> part)>;
  /// Adds up what all ranks write; afterwards sum() has the same bits on all of them. Where this rank has failed
  /// nothing is asked of `write`, and its parts are 0. Of replicas of a block the first writes. All ranks call
  /// together; throws RunError past the deadline. Allocates nothing after its first call.
  MeetingVotes add_up(const MeetingVotes& mine, const WritePart& write);
  std::span<float> sum() const { return row(0).first(elements_); }
  int blocks() const { return static_cast<int>(placement_.ranks_of_block.size()); }

  void set_deadline(std::chrono::milliseconds deadline) { ranks_.set_deadline(deadline); }
  comm::Traffic traffic() const { return ranks_.traffic(); }

 private:
  std::span<float> row(std::int64_t i) const;
  /// Adds `from` to the sum.
  void add(std::span<const float> from) const;

  comm::Communicator& ranks_;
  const comm::Placement& placement_;
  kernels::Tensor memory_;
  std::size_t elements_;
};

}  // namespace blocktrain::trainer
