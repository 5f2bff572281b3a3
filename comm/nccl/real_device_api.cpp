// CUDA's DeviceApi, by the runtime library. Host code alone: no kernel is compiled here.

#include <cuda_runtime_api.h>

#include <array>
#include <cstdint>
#include <cstring>

#include "comm/nccl/cuda_device_api.hpp"
#include "kernels/error.hpp"
#include "kernels/gpu_uuid.hpp"

namespace blocktrain::comm {
namespace {

static_assert(device_success == cudaSuccess && device_not_ready == cudaErrorNotReady);

cudaEvent_t event_of(void* event) { return static_cast<cudaEvent_t>(event); }
cudaStream_t stream_of(void* stream) { return static_cast<cudaStream_t>(stream); }

/// The code, with the runtime's own memory of it cleared: "not ready" would else show as the error of a later launch.
/// Errors that end the device stay, whatever is cleared.
int code_of(cudaError_t error) {
  if (error != cudaSuccess) (void)cudaGetLastError();
  return static_cast<int>(error);
}

template <cudaMemcpyKind kind>
int copy(void* to, const void* from, std::size_t bytes, void* stream) {
  return code_of(cudaMemcpyAsync(to, from, bytes, kind, stream_of(stream)));
}

}  // namespace

bool cuda_device_api_available() { return true; }

std::shared_ptr<const DeviceApi> cuda_device_api() {
  auto api = std::make_shared<DeviceApi>();
  api->event_create = [](void** event) {
    cudaEvent_t made = nullptr;
    const cudaError_t error = cudaEventCreateWithFlags(&made, cudaEventDisableTiming);
    *event = made;
    return code_of(error);
  };
  api->event_record = [](void* event, void* stream) {
    return code_of(cudaEventRecord(event_of(event), stream_of(stream)));
  };
  api->event_query = [](void* event) { return code_of(cudaEventQuery(event_of(event))); };
  api->event_destroy = [](void* event) { return code_of(cudaEventDestroy(event_of(event))); };
  api->copy_to_host_async = copy<cudaMemcpyDeviceToHost>;
  api->copy_to_device_async = copy<cudaMemcpyHostToDevice>;
  api->copy_on_device_async = copy<cudaMemcpyDeviceToDevice>;
  api->device_get = [](int* index) { return code_of(cudaGetDevice(index)); };
  api->device_set = [](int index) { return code_of(cudaSetDevice(index)); };
  api->stream_query = [](void* stream) { return code_of(cudaStreamQuery(stream_of(stream))); };
  api->error_text = [](int code) {
    const auto error = static_cast<cudaError_t>(code);
    return std::string(cudaGetErrorName(error)) + ": " + cudaGetErrorString(error);
  };
  return api;
}

std::string cuda_gpu_uuid(int index) {
  cudaDeviceProp properties{};
  const cudaError_t error = cudaGetDeviceProperties(&properties, index);
  if (error != cudaSuccess) {
    (void)cudaGetLastError();
    throw_library_error("cudaGetDeviceProperties", __FILE__, __LINE__, cudaGetErrorString(error));
  }
  std::array<std::uint8_t, 16> bytes;
  std::memcpy(bytes.data(), properties.uuid.bytes, bytes.size());
  return kernels::gpu_uuid_text(bytes);
}

}  // namespace blocktrain::comm
