#pragma once
/// The host buffer through which device memory passes, and the copies between the two.

#include <chrono>
#include <memory>
#include <span>

#include "comm/device_api.hpp"

namespace blocktrain::comm::staged {

/// Space before the payload, for the head of a message that carries it.
inline constexpr std::size_t head_bytes = 16;

class Staging {
 public:
  /// `buffer` stays the caller's, is aligned to 16 bytes, and outlives this; pinned memory makes its copies faster.
  Staging(std::shared_ptr<const DeviceApi> device, std::span<std::byte> buffer);

  /// Head and payload, in one piece.
  std::span<std::byte> buffer() const { return buffer_; }
  std::byte* payload() const { return buffer_.data() + head_bytes; }

  /// Copies `bytes` of device memory to the payload, or from it, after what `stream` was given before; returns when
  /// done. Throws LibraryError if the device fails, RunError when it takes longer than `deadline`.
  void to_host(const void* device_memory, std::size_t bytes, void* stream, std::chrono::milliseconds deadline);
  void to_device(void* device_memory, std::size_t bytes, void* stream, std::chrono::milliseconds deadline);
  /// Copies device memory to device memory of this rank, in the same way.
  void on_device(void* to, const void* from, std::size_t bytes, void* stream, std::chrono::milliseconds deadline);

 private:
  void await(void* stream, const char* what, std::chrono::milliseconds deadline);

  std::shared_ptr<const DeviceApi> device_;
  std::span<std::byte> buffer_;
  DeviceEvent copied_;
};

}  // namespace blocktrain::comm::staged
