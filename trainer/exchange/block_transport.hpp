#pragma once
/// What moves between the devices of all ranks besides gradients: the noise schedule, once, and blocks that another
/// rank takes over. On GPUs by NCCL where each rank has one of its own, else through host memory. None of it is part of
/// a training step.

#include <memory>

#include "trainer/exchange/rank_devices.hpp"
#include "trainer/plan/rank_memory.hpp"

namespace blocktrain::trainer {

class BlockTransport {
 public:
  /// Sends rank 0's schedule to where ops read it, on all ranks; where blocks may move it stays connected. `world`: all
  /// ranks. `buffer`: of bind_transport_buffer(). All ranks call together. Throws as connect_devices().
  BlockTransport(const DeviceGroup& world, const kernels::Tensor& buffer, kernels::Device& device,
                 const OwnedBlock& block, bool rebalances);

  /// Hands the state that the device computes with over to rank `to`; returns when it is there. `to` calls receive()
  /// at the same time. Throws RunError past the deadline.
  void send(const BlockState& live, int to);
  void receive(const BlockState& live, int from);

  /// After a failure of this rank: nothing waits for the others any more. False as DeviceCommunicator::abort().
  bool abandon() noexcept { return connection_ == nullptr || connection_->abort(); }
  /// What has passed so far.
  comm::Traffic traffic() const { return connection_ == nullptr ? done_ : connection_->traffic(); }

 private:
  kernels::Device& device_;
  std::unique_ptr<comm::DeviceCommunicator> connection_;
  comm::Traffic done_;  ///< of a connection that is closed
};

}  // namespace blocktrain::trainer
