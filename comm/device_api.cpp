#include "comm/device_api.hpp"

#include <cstring>
#include <utility>

#include "kernels/error.hpp"

namespace blocktrain::comm {
namespace {

int copy(void* to, const void* from, std::size_t bytes, void*) {
  if (bytes > 0) std::memcpy(to, from, bytes);
  return device_success;
}

}  // namespace

std::shared_ptr<const DeviceApi> host_device_api() {
  auto api = std::make_shared<DeviceApi>();
  api->event_create = [](void** event) {
    *event = nullptr;
    return device_success;
  };
  api->event_record = [](void*, void*) { return device_success; };
  api->event_query = [](void*) { return device_success; };
  api->event_destroy = [](void*) { return device_success; };
  api->copy_to_host_async = copy;
  api->copy_to_device_async = copy;
  api->copy_on_device_async = copy;
  api->device_get = [](int* index) {
    *index = 0;
    return device_success;
  };
  api->device_set = [](int) { return device_success; };
  api->stream_query = [](void*) { return device_success; };
  api->error_text = [](int code) { return "code " + std::to_string(code); };
  return api;
}

DeviceEvent::DeviceEvent(std::shared_ptr<const DeviceApi> api) : api_(std::move(api)) {
  BLOCKTRAIN_DEVICE(*api_, event_create(&event_));
}

DeviceEvent::~DeviceEvent() {
  // A device that failed refuses this too, and whoever waited for the event was told.
  (void)api_->event_destroy(event_);
}

void DeviceEvent::record(void* stream) { BLOCKTRAIN_DEVICE(*api_, event_record(event_, stream)); }

bool DeviceEvent::passed() const {
  const int code = api_->event_query(event_);
  if (code == device_not_ready) return false;
  check_device(*api_, code, "event_query(event_)", __FILE__, __LINE__);
  return true;
}

void check_device(const DeviceApi& api, int code, const char* call, const char* file, int line) {
  if (code != device_success) throw_library_error(call, file, line, api.error_text(code));
}

}  // namespace blocktrain::comm
