#pragma once
/// A set of nonblocking sends and receives that belong together. Engine thread only.

#include <cstddef>
#include <vector>

#include "comm/mpi/check.hpp"

namespace blocktrain::comm::mpi {

class Transfers {
 public:
  /// Transfers over `communicator`, cut into pieces of at most `chunk_bytes`.
  Transfers(MPI_Comm communicator, std::size_t chunk_bytes) : communicator_(communicator), chunk_bytes_(chunk_bytes) {}

  /// Both sides have to name the same number of bytes; 0 bytes are a message too.
  void send(const void* data, std::size_t bytes, int peer, int tag);
  void receive(void* data, std::size_t bytes, int peer, int tag);

  /// True when all have completed. Throws LibraryError, also for a message of another length.
  bool test();
  /// Peers something has not yet come from, ascending; if none, peers that have not taken something.
  std::vector<int> missing() const;
  /// Cancels the receives; test() goes on until the rest has completed.
  void cancel_receives();

 private:
  struct Piece {
    int peer;
    bool receives;
    int bytes;
  };
  template <typename Start>
  void cut(std::size_t bytes, int peer, bool receives, const Start& start);
  void check_completed(int count);

  MPI_Comm communicator_;
  std::size_t chunk_bytes_;
  std::vector<Piece> pieces_;
  std::vector<MPI_Request> requests_;  ///< parallel to pieces_; null once complete
  std::size_t pending_ = 0;
  bool cancelled_ = false;
  std::vector<int> completed_;
  std::vector<MPI_Status> statuses_;
};

}  // namespace blocktrain::comm::mpi
