#pragma once
/// How the replicas of a block sum their gradients: on CPUs by the ranks' own communicator; on GPUs by NCCL where every
/// replica has a GPU of its own, else through pinned host memory. Decided once per group.

#include <chrono>
#include <memory>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/device_communicator.hpp"
#include "comm/device_transport.hpp"
#include "comm/host.hpp"
#include "kernels/device.hpp"
#include "trainer/ledger/energy/gpu_boards.hpp"
#include "trainer/run/block_step.hpp"

namespace blocktrain::trainer {

/// What every rank of the world computes on, by rank. All ranks call together.
std::vector<comm::RankDevice> gather_rank_devices(comm::Communicator& world, const kernels::DeviceFacts& mine);

/// Which rank samples which GPU's joules.
GpuAssignment assign_boards(const comm::HostMap& hosts, const std::vector<comm::RankDevice>& devices);

class ReplicaTransport {
 public:
  /// `group`: the replicas of a block, null where it has none. `ranks`: theirs in the world; `devices` by rank of the
  /// world; `staging`: pinned host memory (OwnedBlock::staging). The group's first rank says on stderr, once, when it
  /// does not go through NCCL. Throws InputError, on all of them, where NCCL was asked for and cannot be. All ranks of
  /// the group call together.
  ReplicaTransport(comm::Communicator* group, const std::vector<int>& ranks,
                   const std::vector<comm::RankDevice>& devices, const kernels::DeviceFacts& mine,
                   const kernels::Tensor& staging, GpuTransportChoice choice, std::chrono::milliseconds deadline);

  /// After a failure of this rank: nothing waits for the other replicas any more.
  void abandon() noexcept {
    if (device_ != nullptr) device_->abort();
  }
  Replicas get() const { return {device_ == nullptr ? group_ : nullptr, device_.get()}; }

 private:
  comm::Communicator* group_;
  std::unique_ptr<comm::DeviceCommunicator> device_;
};

}  // namespace blocktrain::trainer
