#pragma once
/// DeviceCommunicator::exchange over messages of a Communicator, in chunks.

#include <chrono>
#include <deque>
#include <span>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/device_communicator.hpp"
#include "comm/staged/staging.hpp"

namespace blocktrain::comm::staged {

/// Messages that came for an exchange that this rank has not begun, by source: a rank may be one exchange ahead.
using EarlyMessages = std::vector<std::deque<Message>>;

/// A rank has at most this many chunks under way to another that are not acknowledged; what they hold is the host
/// memory an exchange takes besides the staging buffer, on either side.
inline constexpr int chunks_in_flight = 2;

/// Carries out `transfers` in chunks of at most `chunk_bytes` over messages of `host`. Returns when everything was
/// received, here and by those this rank sends to. Throws RunError when nothing arrives for `deadline` or sizes differ.
void exchange(Communicator& host, Staging& staging, std::size_t chunk_bytes, EarlyMessages& early,
              std::span<const Transfer> transfers, TrafficPurpose purpose, void* stream,
              std::chrono::milliseconds deadline);

}  // namespace blocktrain::comm::staged
