#pragma once
/// What comm/ needs of a device, as a table of functions: comm/ compiles without CUDA, and tests put in devices that
/// hang or fail. CUDA's is made by comm/nccl/cuda_device_api.hpp.

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

namespace blocktrain::comm {

/// Codes of DeviceApi's functions; other values are errors. The numbers are CUDA's.
inline constexpr int device_success = 0;
inline constexpr int device_not_ready = 600;

/// Events and streams are opaque pointers. Every function returns a code, and none blocks.
struct DeviceApi {
  std::function<int(void** event)> event_create;
  /// Marks the end of what `stream` was given so far.
  std::function<int(void* event, void* stream)> event_record;
  /// device_success once the stream has reached the mark, else device_not_ready.
  std::function<int(void* event)> event_query;
  std::function<int(void* event)> event_destroy;
  std::function<int(void* host, const void* device, std::size_t bytes, void* stream)> copy_to_host_async;
  std::function<int(void* device, const void* host, std::size_t bytes, void* stream)> copy_to_device_async;
  std::function<int(void* to, const void* from, std::size_t bytes, void* stream)> copy_on_device_async;
  /// Index of the calling thread's current device, and its choice: a new thread starts with the first.
  std::function<int(int* index)> device_get;
  std::function<int(int index)> device_set;
  /// device_success once everything the stream was given has ended, else device_not_ready.
  std::function<int(void* stream)> stream_query;
  std::function<std::string(int code)> error_text;
};

/// The "device" that is the host: copies are memcpy, and streams have always ended.
std::shared_ptr<const DeviceApi> host_device_api();

/// An event of a table's device, destroyed with it.
class DeviceEvent {
 public:
  /// Throws LibraryError if the device refuses.
  explicit DeviceEvent(std::shared_ptr<const DeviceApi> api);
  ~DeviceEvent();
  DeviceEvent(const DeviceEvent&) = delete;
  DeviceEvent& operator=(const DeviceEvent&) = delete;

  /// Throws LibraryError if the device refuses.
  void record(void* stream);
  /// True once the stream has reached the mark. Throws LibraryError if the device failed.
  bool passed() const;

 private:
  std::shared_ptr<const DeviceApi> api_;
  void* event_ = nullptr;
};

/// Throws LibraryError with the device's words unless `code` is device_success.
void check_device(const DeviceApi& api, int code, const char* call, const char* file, int line);

}  // namespace blocktrain::comm

/// Makes the call of a DeviceApi; a failure becomes LibraryError with the rank, the call's text, its place and words.
#define BLOCKTRAIN_DEVICE(api, call) ::blocktrain::comm::check_device((api), (api).call, #call, __FILE__, __LINE__)
