#pragma once
/// How the replicas of a block sum their gradients: on CPUs by the ranks' own communicator; on GPUs by NCCL where every
/// replica has a GPU of its own, else through pinned host memory. Decided once per group.

#include <memory>

#include "trainer/exchange/rank_devices.hpp"
#include "trainer/worker/block_step.hpp"

namespace blocktrain::trainer {

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
