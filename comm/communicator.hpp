#pragma once
/// Ranks that talk to each other. One small interface; comm/local (ranks as threads of one process) and
/// comm/mpi implement it. No type of a transport crosses it: bytes, floats and our own enums do.
///
/// Semantics, the same for every transport:
///  - Collectives are called by all ranks of the communicator in the same order; every one has the
///    communicator's deadline, and past it throws RunError naming the rank, the call and the seconds.
///  - A collective that failed or passed its deadline leaves the ranks out of step: later collectives of that
///    communicator throw RunError at once. Messages go on working.
///  - A world of one rank is the identity, never an error.
///  - all_reduce adds in rank order, so its bits depend on the number of ranks alone and are the same on all
///    ranks and transports.
///  - post() returns at once; messages from one rank with one tag arrive in the order they were posted.
///  - Any thread may call; collectives of one communicator by one thread at a time. Threads that split different
///    communicators at the same time have to do so in the same order on all ranks.
///  - Collectives exchange directly between every pair of ranks (each rank's share of the bytes is the same, and a
///    missing rank can be named): meant for groups of up to a few hundred ranks.

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace blocktrain::comm {

/// What traffic is for. The ledger shows bytes by purpose; inter_block is what block-local training keeps at 0.
enum class TrafficPurpose : std::uint8_t {
  inter_block,  ///< activations, gradients or shared tables between blocks
  replica,      ///< gradients among the replicas of one block
  control,      ///< schedules, ledger rows, digests, group set-up
};
inline constexpr std::size_t traffic_purposes = 3;

/// Tags of messages are 0 .. max_tag (what every MPI library can carry).
inline constexpr int max_tag = 32767;

/// Payload handed to the communicator by this rank, and number of calls, by purpose; the same on every transport.
/// For a collective the bytes are those this rank sends to others (nothing in a world of one), with n ranks:
/// all_reduce: all values outside this rank's shard(count, n, rank) once, and the sums of its shard n-1 times, which is
/// 2(n-1)/n of the payload where n divides the count; all_gather: n-1 times its bytes; broadcast: n-1 times the bytes
/// on the root, 0 elsewhere; barrier: 0; split: n-1 colors of 4 bytes, for control. post: its payload, also to itself.
struct Traffic {
  std::array<std::uint64_t, traffic_purposes> bytes{};
  std::array<std::uint64_t, traffic_purposes> calls{};
};

struct Message {
  int source = 0;
  std::vector<std::byte> payload;
};

class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// "local" or "mpi".
  virtual const char* transport() const = 0;

  /// Ranks that give the same `color` form a new communicator, ordered by rank. Collective. A negative color
  /// takes part in the call and gets null.
  virtual std::unique_ptr<Communicator> split(int color) = 0;

  virtual void barrier(TrafficPurpose purpose) = 0;
  /// Root's bytes to everybody; the size has to be the same on all ranks.
  virtual void broadcast(std::span<std::byte> data, int root, TrafficPurpose purpose) = 0;
  /// data[i] = sum over ranks, added in rank order. The calling thread allocates nothing after the first call of a
  /// size; the communicator keeps all_reduce_buffer_bytes(count) from then on. Throws RunError if counts differ.
  virtual void all_reduce(std::span<float> data, TrafficPurpose purpose) = 0;
  /// Everybody's bytes, by rank; sizes may differ.
  virtual std::vector<std::vector<std::byte>> all_gather(std::span<const std::byte> data, TrafficPurpose purpose) = 0;

  /// Hands over a message to `destination` (which may be this rank) and returns; the payload is copied.
  virtual void post(int destination, int tag, std::span<const std::byte> payload, TrafficPurpose purpose) = 0;
  /// The next message with `tag` that has arrived, if any. `tag` is 0 .. max_tag.
  virtual std::optional<Message> poll(int tag) = 0;
  /// The next message with `tag`, waiting up to `timeout`; nullopt when none came.
  virtual std::optional<Message> wait(int tag, std::chrono::milliseconds timeout) = 0;
  /// Returns when everything posted by this rank has left it. Throws RunError past the deadline.
  virtual void flush() = 0;

  /// Counters of this communicator, since its creation. Safe to read at any time from any thread.
  virtual Traffic traffic() const = 0;

  /// Bytes this rank's communicator keeps for all_reduce of `count` values (0 in a world of one); for memory plans.
  virtual std::size_t all_reduce_buffer_bytes(std::size_t count) const = 0;

  /// Deadline of every wait; default 300 s. A communicator made by split starts with its parent's.
  virtual void set_deadline(std::chrono::milliseconds deadline) = 0;
  /// Ends the whole job with `exit_code` after printing nothing; for errors that leave other ranks waiting.
  [[noreturn]] virtual void abort(int exit_code) = 0;
};

}  // namespace blocktrain::comm
