#pragma once
/// What every transport of device memory has to do: one body of tests, run on staging and on NCCL's logic, with ranks
/// as threads and under mpirun. "Device memory" is host memory here. Cases throw on failure.

#include <vector>

#include "comm/device_communicator.hpp"

namespace blocktrain::comm::test {

struct DeviceCase {
  const char* name;
  void (*run)(DeviceCommunicator& world);  ///< collective; the communicator is new, and may be used up
};

const std::vector<DeviceCase>& device_cases();

}  // namespace blocktrain::comm::test
