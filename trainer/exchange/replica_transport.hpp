#pragma once
/// How the replicas of a block sum their gradients: on CPUs by the ranks' own communicator; on GPUs by NCCL where every
/// replica has a GPU of its own, else through pinned host memory. Decided once per group.

#include <memory>

#include "comm/communicator.hpp"
#include "comm/device_communicator.hpp"
#include "kernels/tensor.hpp"
#include "trainer/exchange/rank_devices.hpp"

namespace blocktrain::trainer {

/// The group that shares a block's batch: ranks with memory of the host, or of devices. Both null: nobody does.
struct Replicas {
  comm::Communicator* host = nullptr;
  comm::DeviceCommunicator* device = nullptr;
  bool none() const { return host == nullptr && device == nullptr; }
};

class ReplicaTransport {
 public:
  /// No replicas.
  ReplicaTransport() = default;
  /// `staging`: OwnedBlock::staging. As connect_devices().
  ReplicaTransport(const DeviceGroup& group, const kernels::Tensor& staging);

  /// After a failure of this rank: nothing waits for the other replicas any more. False as DeviceCommunicator::abort().
  bool abandon() noexcept { return device_ == nullptr || device_->abort(); }
  Replicas get() const { return {device_ == nullptr ? host_ : nullptr, device_.get()}; }

 private:
  comm::Communicator* host_ = nullptr;
  std::unique_ptr<comm::DeviceCommunicator> device_;
};

}  // namespace blocktrain::trainer
