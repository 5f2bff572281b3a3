#pragma once
/// Messages of one MPI communicator, both ways. Payloads longer than a chunk travel as full chunks followed by a
/// shorter one (possibly empty), so that a message's end shows without a header.

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "comm/inbox.hpp"
#include "comm/mpi/check.hpp"

namespace blocktrain::comm::mpi {

class Mailbox {
 public:
  Mailbox(MPI_Comm communicator, int rank, int size, std::size_t chunk_bytes);

  // Any thread.
  void post(int destination, int tag, std::span<const std::byte> payload);
  Inbox& inbox() { return inbox_; }
  /// Returns when what was posted before has left. Throws RunError naming the ranks that did not take theirs.
  void flush(std::chrono::milliseconds deadline);
  /// The owner is gone: nothing more is received.
  void close();

  // Engine thread.
  /// Moves messages; true if something moved.
  bool advance();
  /// True while messages are on their way out or in.
  bool busy() const { return outgoing_ > 0 || !arriving_.empty(); }
  /// Makes waits and flushes throw `error`; advance() does nothing more.
  void fail(std::exception_ptr error);

 private:
  struct Outgoing {
    int destination;
    int tag;
    std::vector<std::byte> payload;
    std::vector<MPI_Request> requests;
  };
  struct Lane {  ///< to one destination, in order; a destination that takes nothing holds up no other
    std::deque<Outgoing> waiting;
    std::deque<Outgoing> flying;
  };
  struct Chunk {
    std::vector<std::byte> data;
    MPI_Request request = MPI_REQUEST_NULL;
  };
  struct Arriving {
    std::vector<std::byte> complete;  ///< chunks of the message being put together
    std::deque<Chunk> chunks;
  };

  bool take_posts();
  bool advance_lane(std::size_t destination);
  void start(Outgoing& message);
  bool receive_new();
  bool finish_arrivals();

  MPI_Comm communicator_;
  int rank_;
  std::size_t chunk_bytes_;
  Inbox inbox_;

  std::mutex mutex_;
  std::condition_variable sent_some_;
  std::vector<Outgoing> posts_;
  std::vector<std::uint64_t> posted_;  ///< by destination: messages so far
  std::vector<std::uint64_t> sent_;
  bool closed_ = false;
  std::exception_ptr failure_;

  // Engine thread alone.
  std::vector<Outgoing> taken_;
  std::vector<Lane> lanes_;
  std::size_t outgoing_ = 0;
  std::map<std::pair<int, int>, Arriving> arriving_;  ///< by source and tag
};

}  // namespace blocktrain::comm::mpi
