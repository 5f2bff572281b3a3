#pragma once
/// The error that cudaGetLastError() tells the calling thread of.

#include <cuda_runtime_api.h>

namespace emulated_gpu {

/// Keeps `error`, unless it is success, and returns it.
cudaError_t set_error(cudaError_t error);

}  // namespace emulated_gpu
