#pragma once
/// What the ranks of a run compute on, who samples which GPU's joules, and how a group of ranks moves device memory.

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/device_communicator.hpp"
#include "comm/device_transport.hpp"
#include "comm/host.hpp"
#include "kernels/device.hpp"
#include "trainer/config/config.hpp"
#include "trainer/ledger/energy/gpu_boards.hpp"

namespace blocktrain::trainer {

/// What every rank of the world computes on, by rank. All ranks call together.
std::vector<comm::RankDevice> gather_rank_devices(comm::Communicator& world, const kernels::DeviceFacts& mine);

/// "cpu", or the names of the ranks' GPUs, each once. All ranks call together.
std::string device_names(comm::Communicator& world, const kernels::DeviceFacts& mine);

/// Which rank samples which GPU's joules.
GpuAssignment assign_boards(const comm::HostMap& hosts, const std::vector<comm::RankDevice>& devices);

/// A group of ranks that are to exchange what lies on their devices.
struct DeviceGroup {
  comm::Communicator& communicator;
  const std::vector<int>& ranks;                 ///< theirs in the world
  const std::vector<comm::RankDevice>& devices;  ///< by rank of the world
  comm::DeviceTransport choice = comm::DeviceTransport::automatic;
  std::chrono::milliseconds deadline{};
  bool lasting = true;  ///< worth a line that says why it does not go through NCCL
};

/// By NCCL where every rank of the group has a GPU of its own, else through `staging`, memory of the host, which is
/// pinned where they compute on GPUs. The group's first rank says on stderr, once, when it does not go through NCCL.
/// Throws InputError, on all of them, where NCCL was asked for and cannot be. All ranks of the group call together.
std::unique_ptr<comm::DeviceCommunicator> connect_devices(const DeviceGroup& group, std::span<std::byte> staging);

}  // namespace blocktrain::trainer
