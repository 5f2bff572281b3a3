#pragma once
/// Catches two threads in collectives of one communicator at a time: a bug that would otherwise mix up payloads.

#include <atomic>

#include "kernels/error.hpp"

namespace blocktrain::comm {

class CollectiveTurn {
 public:
  explicit CollectiveTurn(std::atomic<bool>& taken) : taken_(taken) {
    const bool another_thread_is_in_a_collective = taken_.exchange(true, std::memory_order_acquire);
    BLOCKTRAIN_EXPECTS(!another_thread_is_in_a_collective);
  }
  ~CollectiveTurn() { taken_.store(false, std::memory_order_release); }
  CollectiveTurn(const CollectiveTurn&) = delete;
  CollectiveTurn& operator=(const CollectiveTurn&) = delete;

 private:
  std::atomic<bool>& taken_;
};

}  // namespace blocktrain::comm
