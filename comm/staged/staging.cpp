#include "comm/staged/staging.hpp"

#include <cstdint>
#include <utility>

#include "comm/backoff.hpp"
#include "comm/deadline.hpp"
#include "comm/wording.hpp"
#include "kernels/error.hpp"

namespace blocktrain::comm::staged {

Staging::Staging(std::shared_ptr<const DeviceApi> device, std::span<std::byte> buffer)
    : device_(std::move(device)), buffer_(buffer), copied_(device_) {
  BLOCKTRAIN_EXPECTS(reinterpret_cast<std::uintptr_t>(buffer.data()) % 16 == 0);
}

void Staging::to_host(const void* device_memory, std::size_t bytes, void* stream, std::chrono::milliseconds deadline) {
  BLOCKTRAIN_EXPECTS(bytes + head_bytes <= buffer_.size());
  BLOCKTRAIN_DEVICE(*device_, copy_to_host_async(payload(), device_memory, bytes, stream));
  await(stream, "from", deadline);
}

void Staging::to_device(void* device_memory, std::size_t bytes, void* stream, std::chrono::milliseconds deadline) {
  BLOCKTRAIN_EXPECTS(bytes + head_bytes <= buffer_.size());
  BLOCKTRAIN_DEVICE(*device_, copy_to_device_async(device_memory, payload(), bytes, stream));
  await(stream, "to", deadline);
}

void Staging::on_device(void* to, const void* from, std::size_t bytes, void* stream,
                        std::chrono::milliseconds deadline) {
  BLOCKTRAIN_DEVICE(*device_, copy_on_device_async(to, from, bytes, stream));
  await(stream, "on", deadline);
}

void Staging::await(void* stream, const char* what, std::chrono::milliseconds deadline) {
  copied_.record(stream);
  const auto end = deadline_after(deadline);
  const Backoff backoff;
  while (!copied_.passed()) {
    if (RunningClock::now() > end) {
      throw RunError(std::string("the copy ") + what + " the device did not end within " + seconds_text(deadline) +
                     "; what its stream was given before may be stuck");
    }
    backoff.pause();
  }
}

}  // namespace blocktrain::comm::staged
