#pragma once
/// Device memory between ranks by way of host memory and a Communicator: for ranks that share a GPU, where NCCL is
/// missing, for the CPU and for tests. Sums are the Communicator's: in rank order.

#include <atomic>
#include <memory>
#include <span>
#include <string>

#include "comm/device_api.hpp"
#include "comm/device_communicator.hpp"
#include "comm/staged/exchange.hpp"
#include "comm/staged/staging.hpp"
#include "comm/traffic.hpp"

namespace blocktrain::comm {

/// Largest chunk that staging_buffer_bytes asks for: long enough to hide what a message costs, and to be cut into
/// shards for a hundred ranks.
inline constexpr std::size_t staging_chunk_bytes = std::size_t{16} << 20;

/// Bytes of host memory (best pinned) to hand to a StagedDeviceCommunicator of `ranks` ranks whose largest operation
/// has `largest_payload_bytes`; 0 for one rank. A smaller buffer works too, down to 80 bytes, in more chunks.
std::size_t staging_buffer_bytes(std::size_t largest_payload_bytes, int ranks);

class StagedDeviceCommunicator final : public DeviceCommunicator {
 public:
  /// Collective over `group`, from which it splits a communicator of its own (with its deadline). `buffer` is aligned
  /// to 16 bytes and outlives this; where sizes differ between ranks, the smallest counts. All ranks throw
  /// std::logic_error where that is below 80 bytes.
  StagedDeviceCommunicator(Communicator& group, std::shared_ptr<const DeviceApi> device, std::span<std::byte> buffer,
                           std::chrono::milliseconds deadline = std::chrono::seconds(300));

  int rank() const override { return host_->rank(); }
  int size() const override { return host_->size(); }
  const char* transport() const override { return "staged"; }
  bool returns_early() const override { return false; }
  void all_reduce_sum(std::span<float> data, TrafficPurpose purpose, void* stream) override;
  void broadcast(void* data, std::size_t bytes, int root, TrafficPurpose purpose, void* stream) override;
  void exchange(std::span<const Transfer> transfers, TrafficPurpose purpose, void* stream) override;
  bool poll(void* stream) override;
  void wait(void* stream) override;
  Traffic traffic() const override { return traffic_.read(); }
  void set_deadline(std::chrono::milliseconds deadline) override;
  void finish() override;
  bool abort() noexcept override;

  /// Host memory that operations of up to `largest_payload_bytes` keep besides the staging buffer, for memory plans:
  /// the host communicator's own, and the chunks under way to one rank and from one.
  std::size_t host_bytes(std::size_t largest_payload_bytes) const;

 private:
  template <class Body>
  void run(const char* call, const Body& body);
  void expect_healthy(const char* call) const;

  std::unique_ptr<Communicator> host_;
  std::chrono::milliseconds deadline_;
  staged::Staging staging_;
  std::size_t chunk_bytes_ = 0;
  staged::EarlyMessages early_;
  TrafficCounters traffic_;
  std::atomic<bool> in_collective_{false};
  std::string failure_;  ///< why no operation is possible any more
};

}  // namespace blocktrain::comm
