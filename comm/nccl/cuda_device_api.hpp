#pragma once
/// CUDA's DeviceApi. A build without CUDA has the same functions, which refuse.

#include <memory>
#include <string>

#include "comm/device_api.hpp"

namespace blocktrain::comm {

/// True if this build has CUDA; says nothing of GPUs.
bool cuda_device_api_available();

/// The table for the CUDA device that is current in the calling thread at each call. Throws InputError in a build
/// without CUDA.
std::shared_ptr<const DeviceApi> cuda_device_api();

/// "GPU-..." as nvidia-smi shows it, of device `index` of this process. Throws InputError in a build without CUDA,
/// LibraryError if there is no such device or driver.
std::string cuda_gpu_uuid(int index);

}  // namespace blocktrain::comm
