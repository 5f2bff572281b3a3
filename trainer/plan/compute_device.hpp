#pragma once
/// Which device a rank computes on: parallel.device, resolved once at the start, the same way on all ranks.

#include <memory>
#include <string>

#include "comm/communicator.hpp"
#include "comm/host.hpp"
#include "kernels/device.hpp"
#include "trainer/config/config.hpp"
#include "trainer/plan/network.hpp"

namespace blocktrain::trainer {

/// `auto` by what this process sees, for `plan`: CUDA where it sees a device.
DeviceChoice device_here(const Config& config);

/// `auto` for ranks that compute together: CUDA where every rank sees a device, else the CPU. Throws InputError, on all
/// ranks, where a rank lacks the GPU that was asked for; the message ends in `advice`. All ranks call together.
DeviceChoice choose_device(comm::Communicator& world, const Config& config, const std::string& advice = {});

/// The same for a training: throws InputError also where a CPU is to compute in bfloat16.
DeviceChoice resolve_device(comm::Communicator& world, const Config& config);

/// The device of this rank: of the GPUs that it sees, the ranks of its host take turns. parallel.device is resolved.
std::unique_ptr<kernels::Device> make_device(const comm::Communicator& world, const comm::HostMap& hosts,
                                             const Config& config, int threads);

}  // namespace blocktrain::trainer
