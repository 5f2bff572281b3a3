#pragma once
/// Whether the ranks that share a GPU find room for what they plan.

#include "comm/communicator.hpp"
#include "kernels/device.hpp"
#include "trainer/config/config.hpp"
#include "trainer/plan/plan.hpp"

namespace blocktrain::trainer {

/// Throws InputError, on all ranks, where the ranks that share a GPU plan more than it has free behind what CUDA and
/// its libraries take. A StepProbe on every rank has them load that first; where it fails, they count as far as they
/// are loaded. Nothing on a CPU. All ranks call together.
void require_device_memory(comm::Communicator& world, const Config& config, const blocks::SampleLayout& data,
                           const Plan& plan, kernels::Device& device);

}  // namespace blocktrain::trainer
