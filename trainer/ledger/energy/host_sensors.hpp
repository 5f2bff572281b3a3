#pragma once
/// The sensors that a rank reads: those of the host where it owns the host's, and those of the GPU boards it owns.

#include <memory>
#include <string>
#include <vector>

#include "trainer/ledger/energy/gpu_boards.hpp"
#include "trainer/ledger/energy/nvml_library.hpp"
#include "trainer/ledger/energy/sensor.hpp"

namespace blocktrain::trainer {

/// One sensor for each of `gpus`, by way of NVML; where that is absent they say why.
std::vector<std::unique_ptr<EnergySensor>> gpu_sensors(const std::vector<GpuInUse>& gpus, const NvmlLibrary& library);
/// The same with the library of this machine, which is looked for only when there are any.
std::vector<std::unique_ptr<EnergySensor>> gpu_sensors(const std::vector<GpuInUse>& gpus);

/// Sensors of a host's owner, in the order of EnergySource: those of `gpus`, or none with the reason "no GPU used" when
/// there are none; powercap under `powercap_root` for cpu and dram.
std::vector<std::unique_ptr<EnergySensor>> host_sensors(const std::string& powercap_root,
                                                        const std::vector<GpuInUse>& gpus);

}  // namespace blocktrain::trainer
