#pragma once
/// A background thread that keeps the batches of the next steps ready.

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "blocks/batch.hpp"

namespace blocktrain::trainer {

/// Ring of batches filled ahead of one consumer, for steps first, first+1, ... One thread may call next(), release()
/// and seek(); none of them allocates. An exception of `fill` ends the background thread and is thrown by
/// next() from then on.
class Prefetcher {
 public:
  /// Fills a batch for batch.step; runs on the background thread.
  using Fill = std::function<void(blocks::Batch& batch)>;

  /// `ring`: the batches to use in turn, at least two (one in the consumer's hands, the others ready).
  Prefetcher(std::vector<blocks::Batch> ring, Fill fill, std::uint32_t first_step,
             std::chrono::milliseconds deadline = std::chrono::seconds(300));
  /// Stops after the fill in progress, if any.
  ~Prefetcher();
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  /// The batch of the next step, valid until the next call of next() or release(). Waits for it; throws RunError past
  /// the deadline, and what `fill` threw.
  const blocks::Batch& next();
  /// Gives the batch in hand back early, so that its memory is filled anew.
  void release();
  /// The next call of next() gives `step`. Batches already made for it and later steps are kept; never waits.
  void seek(std::uint32_t step);

 private:
  enum class State : std::uint8_t { free, filling, ready, held };
  struct Slot {
    blocks::Batch batch;
    State state = State::free;
    std::uint64_t step = 0;
  };

  void work();
  Slot* find(State state);
  void release_held();

  const Fill fill_;
  const std::chrono::milliseconds deadline_;

  std::mutex mutex_;
  std::condition_variable slot_ready_, slot_free_;
  std::vector<Slot> ring_;
  // Steps are counted in 64 bits here, so that the last 32-bit step has a successor.
  std::uint64_t next_step_;       // given out next
  std::uint64_t next_fill_;       // filled next
  std::uint64_t generation_ = 0;  // a fill begun before the latest jump is thrown away
  bool stop_ = false;
  std::exception_ptr error_;
  std::thread thread_;  // last: starts when everything else is there
};

}  // namespace blocktrain::trainer
