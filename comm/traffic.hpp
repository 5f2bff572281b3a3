#pragma once
/// Counts what a communicator was given to carry; the one implementation of Communicator::traffic().

#include <atomic>

#include "comm/communicator.hpp"

namespace blocktrain::comm {

class TrafficCounters {
 public:
  void add(TrafficPurpose purpose, std::uint64_t bytes) noexcept {
    const auto index = static_cast<std::size_t>(purpose);
    bytes_[index].fetch_add(bytes, std::memory_order_relaxed);
    calls_[index].fetch_add(1, std::memory_order_relaxed);
  }

  Traffic read() const noexcept {
    Traffic traffic;
    for (std::size_t i = 0; i < traffic_purposes; ++i) {
      traffic.bytes[i] = bytes_[i].load(std::memory_order_relaxed);
      traffic.calls[i] = calls_[i].load(std::memory_order_relaxed);
    }
    return traffic;
  }

 private:
  std::array<std::atomic<std::uint64_t>, traffic_purposes> bytes_{};
  std::array<std::atomic<std::uint64_t>, traffic_purposes> calls_{};
};

/// Bytes rank `rank` of `size` sends in an all_reduce of `count` floats; see Traffic.
std::uint64_t all_reduce_bytes_sent(std::uint64_t count, int size, int rank);

}  // namespace blocktrain::comm
