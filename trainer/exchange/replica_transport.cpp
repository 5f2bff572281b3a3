#include "trainer/exchange/replica_transport.hpp"

namespace blocktrain::trainer {

ReplicaTransport::ReplicaTransport(const DeviceGroup& group, const kernels::Tensor& staging)
    : host_(&group.communicator) {
  const auto rank = static_cast<std::size_t>(group.ranks[static_cast<std::size_t>(host_->rank())]);
  if (group.devices[rank].gpu_uuid.empty()) return;
  device_ = connect_devices(group, std::span(static_cast<std::byte*>(staging.data), staging.bytes()));
}

}  // namespace blocktrain::trainer
