#include "trainer/exchange/rank_devices.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "comm/nccl/cuda_device_api.hpp"
#include "comm/nccl/nccl_communicator.hpp"
#include "comm/nccl/nccl_library.hpp"
#include "comm/staged/staged_communicator.hpp"
#include "trainer/support/output.hpp"
#include "trainer/support/text.hpp"

namespace blocktrain::trainer {

std::vector<comm::RankDevice> gather_rank_devices(comm::Communicator& world, const kernels::DeviceFacts& mine) {
  comm::RankDevice self;
  self.gpu_uuid = mine.uuid;
  if (!mine.uuid.empty() && world.size() > 1) {
    const comm::NcclLibrary& nccl = comm::nccl_library();
    self.nccl_version = nccl.version;
    self.why_no_nccl = nccl.why_not;
  }
  return comm::gather_devices(world, self);
}

std::string device_names(comm::Communicator& world, const kernels::DeviceFacts& mine) {
  const std::string& name = mine.kind == "cpu" || mine.name.empty() ? mine.kind : mine.name;
  std::vector<std::string> seen;
  for (const auto& bytes : world.all_gather(std::as_bytes(std::span(name)), comm::TrafficPurpose::control)) {
    std::string theirs(bytes.size(), '\0');
    if (!bytes.empty()) std::memcpy(theirs.data(), bytes.data(), bytes.size());
    if (std::find(seen.begin(), seen.end(), theirs) == seen.end()) seen.push_back(std::move(theirs));
  }
  return join(seen);
}

GpuAssignment assign_boards(const comm::HostMap& hosts, const std::vector<comm::RankDevice>& devices) {
  std::vector<RankGpu> ranks;
  for (std::size_t r = 0; r < devices.size(); ++r) {
    ranks.push_back({static_cast<int>(r), hosts.host_of_rank[r], devices[r].gpu_uuid});
  }
  return assign_gpu_boards(std::move(ranks));
}

std::unique_ptr<comm::DeviceCommunicator> connect_devices(const DeviceGroup& group, std::span<std::byte> staging) {
  comm::Communicator& communicator = group.communicator;
  std::vector<comm::RankDevice> theirs;
  for (const int r : group.ranks) theirs.push_back(group.devices[static_cast<std::size_t>(r)]);
  const bool on_gpus = !theirs.front().gpu_uuid.empty();
  if (!on_gpus) {
    return std::make_unique<comm::StagedDeviceCommunicator>(communicator, comm::host_device_api(), staging,
                                                            group.deadline);
  }
  const comm::TransportDecision decision = comm::choose_transport(group.ranks, group.choice, theirs);
  if (decision.transport == comm::DeviceTransport::nccl) {
    comm::NcclOptions options;
    options.deadline = group.deadline;
    return std::make_unique<comm::NcclCommunicator>(comm::nccl_library().api, comm::cuda_device_api(), communicator,
                                                    options);
  }
  if (communicator.rank() == 0 && group.lasting) complain(decision.why);
  return std::make_unique<comm::StagedDeviceCommunicator>(communicator, comm::cuda_device_api(), staging,
                                                          group.deadline);
}

}  // namespace blocktrain::trainer
