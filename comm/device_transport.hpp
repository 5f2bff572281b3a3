#pragma once
/// Which transport a group of ranks uses for device memory: NCCL where it can, else host memory. NCCL refuses two ranks
/// on one GPU.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "kernels/names.hpp"

namespace blocktrain::comm {

enum class DeviceTransport : std::uint8_t {
  automatic,  ///< as a request: NCCL where every rank of the group can, else staged
  nccl,       ///< comm/nccl
  staged,     ///< comm/staged, through host memory and MPI
};
constexpr auto name_table(DeviceTransport) { return names_up_to<DeviceTransport::staged>("auto", "nccl", "host"); }

/// What a rank computes on.
struct RankDevice {
  std::string gpu_uuid;      ///< of the GPU, "GPU-..."; empty on the CPU
  std::string nccl_version;  ///< empty where NCCL cannot be used
  std::string why_no_nccl;   ///< the reason then
};

struct TransportDecision {
  DeviceTransport transport = DeviceTransport::staged;  ///< nccl or staged
  std::string why;                                      ///< one sentence, for one line at the start of a run
};

/// Collective: every rank of `group` tells what it computes on (control traffic). By rank of the group.
std::vector<RankDevice> gather_devices(Communicator& group, const RankDevice& self);

/// Decides for one group; pure, so that all its ranks decide alike. `ranks` are the group's ranks in the world, for
/// words, and `devices` theirs. `requested` is the user's wish; throws InputError where it is nccl and that is
/// impossible, saying why and what to do. Preconditions: at least one rank, as many devices.
TransportDecision choose_transport(std::span<const int> ranks, DeviceTransport requested,
                                   std::span<const RankDevice> devices);

}  // namespace blocktrain::comm
