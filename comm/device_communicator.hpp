#pragma once
/// Ranks that exchange device memory: the replicas of a block reduce their gradients, schedules and weights move
/// between GPUs. comm/nccl implements it by NCCL, comm/staged by copies through host memory and a Communicator. No type
/// of CUDA or NCCL crosses it: a stream is a `void*` (null: the default stream), memory a pointer. Where the DeviceApi
/// of an implementation copies host memory (comm/device_api.hpp), "device memory" below is host memory.
///
/// Semantics, the same for every transport:
///  - Operations are called by all ranks in the same order (exchange: by the ranks that take part). They follow what
///    the stream was given before and come before what it is given after; the host may return earlier than the device,
///    and memory is the communicator's until wait() returned or poll() gave true.
///  - Operations that were not waited for are on one stream; a stream that is being captured is none for them.
///  - No wait is without a deadline. Past it, on an error of the device or the transport, or when ranks disagree,
///    RunError names the rank, the call, the seconds, and the transport's own words; every later operation then throws
///    RunError at once. Staging counts the time without progress; NCCL the time from the call to its end on the device,
///    with what the stream had to do before.
///  - all_reduce_sum gives the same bits on all ranks and in every run with that number of ranks on that transport and
///    those machines. Staging adds in rank order, as Communicator does; NCCL in an order of its own.
///  - A world of one rank is the identity, never an error.
///  - One thread at a time, the device of this rank being the thread's current one. Of several communicators on one
///    device, one at a time as well: wait() comes before the other's operation, or NCCL may wait for itself.

#include <chrono>
#include <cstddef>
#include <span>

#include "comm/communicator.hpp"

namespace blocktrain::comm {

/// One direction of an exchange with `peer`, which may be this rank.
struct Transfer {
  enum class Direction { send, receive };
  Direction direction = Direction::send;
  void* data = nullptr;  ///< only read when sending
  std::size_t bytes = 0;
  int peer = 0;
};

/// `bytes` at `data` to `peer`.
inline Transfer send_to(int peer, const void* data, std::size_t bytes) {
  return {Transfer::Direction::send, const_cast<void*>(data), bytes, peer};
}
/// `bytes` from `peer`, written to `data`.
inline Transfer receive_from(int peer, void* data, std::size_t bytes) {
  return {Transfer::Direction::receive, data, bytes, peer};
}

class DeviceCommunicator {
 public:
  virtual ~DeviceCommunicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// "nccl" or "staged".
  virtual const char* transport() const = 0;
  /// Whether operations return before the device has come to them, so that more work can be given behind them.
  virtual bool returns_early() const = 0;

  /// data[i] = sum over ranks.
  virtual void all_reduce_sum(std::span<float> data, TrafficPurpose purpose, void* stream) = 0;
  /// Root's bytes to everybody; the size has to be the same on all ranks.
  virtual void broadcast(void* data, std::size_t bytes, int root, TrafficPurpose purpose, void* stream) = 0;
  /// All transfers at once, so that ranks that send to each other cannot wait for each other. The k-th send from rank a
  /// to rank b is matched by the k-th receive of b from a and has its size. What is sent and what is received may not
  /// overlap.
  virtual void exchange(std::span<const Transfer> transfers, TrafficPurpose purpose, void* stream) = 0;
  /// An exchange of one transfer.
  void send(const void* data, std::size_t bytes, int peer, TrafficPurpose purpose, void* stream);
  void receive(void* data, std::size_t bytes, int peer, TrafficPurpose purpose, void* stream);

  /// True when everything started on `stream` has ended; does not block.
  virtual bool poll(void* stream) = 0;
  /// Returns when everything started on `stream` has ended.
  virtual void wait(void* stream) = 0;

  /// Payload this rank handed over, and operations, by purpose, since creation: Traffic's numbers for all_reduce and
  /// broadcast; exchange: one call and the bytes it sends. The same on every transport. Safe to read from any thread.
  virtual Traffic traffic() const = 0;

  /// Deadline of every wait; default 300 s.
  virtual void set_deadline(std::chrono::milliseconds deadline) = 0;

  /// Ends the communicator in order: collective, waits for what was started. Throws RunError past the deadline. Later
  /// operations throw RunError; a second finish does nothing.
  virtual void finish() = 0;
  /// Ends it now, without the other ranks, within seconds whatever the transport does. False if the transport was left
  /// behind and may still use memory it was given: the process should end then, by Communicator::abort or _exit, as
  /// exit() lets libraries end themselves. Later operations throw RunError.
  virtual bool abort() noexcept = 0;
};

inline void DeviceCommunicator::send(const void* data, std::size_t bytes, int peer, TrafficPurpose purpose,
                                     void* stream) {
  const Transfer transfer = send_to(peer, data, bytes);
  exchange({&transfer, 1}, purpose, stream);
}

inline void DeviceCommunicator::receive(void* data, std::size_t bytes, int peer, TrafficPurpose purpose, void* stream) {
  const Transfer transfer = receive_from(peer, data, bytes);
  exchange({&transfer, 1}, purpose, stream);
}

}  // namespace blocktrain::comm
