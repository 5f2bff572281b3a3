#include "trainer/run/replica_transport.hpp"

#include <cstdio>
#include <span>

#include "comm/nccl/cuda_device_api.hpp"
#include "comm/nccl/nccl_communicator.hpp"
#include "comm/nccl/nccl_library.hpp"
#include "comm/staged/staged_communicator.hpp"

namespace blocktrain::trainer {

std::vector<comm::RankDevice> gather_rank_devices(comm::Communicator& world, const kernels::DeviceFacts& mine) {
  comm::RankDevice self;
  self.gpu_uuid = mine.uuid;
  if (!mine.uuid.empty()) {
    const comm::NcclLibrary& nccl = comm::nccl_library();
    self.nccl_version = nccl.version;
    self.why_no_nccl = nccl.why_not;
  }
  return comm::gather_devices(world, self);
}

GpuAssignment assign_boards(const comm::HostMap& hosts, const std::vector<comm::RankDevice>& devices) {
  std::vector<RankGpu> ranks;
  for (std::size_t r = 0; r < devices.size(); ++r) {
    ranks.push_back({static_cast<int>(r), hosts.host_of_rank[r], devices[r].gpu_uuid});
  }
  return assign_gpu_boards(std::move(ranks));
}

namespace {

comm::DeviceTransport requested(GpuTransportChoice choice) {
  switch (choice) {
    case GpuTransportChoice::automatic:
      return comm::DeviceTransport::automatic;
    case GpuTransportChoice::nccl:
      return comm::DeviceTransport::nccl;
    case GpuTransportChoice::host:
      return comm::DeviceTransport::staged;
  }
  return comm::DeviceTransport::automatic;
}

}  // namespace

ReplicaTransport::ReplicaTransport(comm::Communicator* group, const std::vector<int>& ranks,
                                   const std::vector<comm::RankDevice>& devices, const kernels::DeviceFacts& mine,
                                   const kernels::Tensor& staging, GpuTransportChoice choice,
                                   std::chrono::milliseconds deadline)
    : group_(group) {
  if (group == nullptr || mine.uuid.empty()) return;
  std::vector<comm::RankDevice> here;
  for (const int r : ranks) here.push_back(devices[static_cast<std::size_t>(r)]);
  const comm::TransportDecision decision = comm::choose_transport(ranks, requested(choice), here);
  if (decision.transport == comm::DeviceTransport::nccl) {
    comm::NcclOptions options;
    options.deadline = deadline;
    device_ =
        std::make_unique<comm::NcclCommunicator>(comm::nccl_library().api, comm::cuda_device_api(), *group, options);
    return;
  }
  if (group->rank() == 0) std::fprintf(stderr, "blocktrain: %s\n", decision.why.c_str());
  device_ = std::make_unique<comm::StagedDeviceCommunicator>(
      *group, comm::cuda_device_api(), std::span(static_cast<std::byte*>(staging.data), staging.bytes()), deadline);
}

}  // namespace blocktrain::trainer
