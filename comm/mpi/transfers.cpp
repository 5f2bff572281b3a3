#include "comm/mpi/transfers.hpp"

#include <algorithm>

#include "kernels/error.hpp"

namespace blocktrain::comm::mpi {

template <typename Start>
void Transfers::cut(std::size_t bytes, int peer, bool receives, const Start& start) {
  std::size_t offset = 0;
  do {
    const std::size_t n = std::min(chunk_bytes_, bytes - offset);
    MPI_Request request = MPI_REQUEST_NULL;
    start(offset, static_cast<int>(n), &request);
    pieces_.push_back({peer, receives, static_cast<int>(n)});
    requests_.push_back(request);
    ++pending_;
    offset += n;
  } while (offset < bytes);
}

void Transfers::send(const void* data, std::size_t bytes, int peer, int tag) {
  cut(bytes, peer, false, [&](std::size_t offset, int n, MPI_Request* request) {
    BLOCKTRAIN_MPI(
        MPI_Isend(static_cast<const std::byte*>(data) + offset, n, MPI_BYTE, peer, tag, communicator_, request));
  });
}

void Transfers::receive(void* data, std::size_t bytes, int peer, int tag) {
  cut(bytes, peer, true, [&](std::size_t offset, int n, MPI_Request* request) {
    BLOCKTRAIN_MPI(MPI_Irecv(static_cast<std::byte*>(data) + offset, n, MPI_BYTE, peer, tag, communicator_, request));
  });
}

bool Transfers::test() {
  if (pending_ > 0) {
    completed_.resize(requests_.size());
    statuses_.resize(requests_.size());
    int count = 0;
    const int code =
        MPI_Testsome(static_cast<int>(requests_.size()), requests_.data(), &count, completed_.data(), statuses_.data());
    if (code != MPI_ERR_IN_STATUS) check(code, "MPI_Testsome", __FILE__, __LINE__);
    if (count != MPI_UNDEFINED) {
      pending_ -= static_cast<std::size_t>(count);
      if (!cancelled_) {
        if (code == MPI_ERR_IN_STATUS) {
          for (int i = 0; i < count; ++i) {
            check(statuses_[static_cast<std::size_t>(i)].MPI_ERROR, "MPI_Testsome", __FILE__, __LINE__);
          }
        }
        check_completed(count);
      }
    }
  }
  if (pending_ > 0) return false;
  pieces_.clear();
  requests_.clear();
  return true;
}

void Transfers::check_completed(int count) {
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    const Piece& piece = pieces_[static_cast<std::size_t>(completed_[i])];
    if (!piece.receives) continue;
    int bytes = 0;
    BLOCKTRAIN_MPI(MPI_Get_count(&statuses_[i], MPI_BYTE, &bytes));
    if (bytes != piece.bytes) {
      throw RunError("rank " + std::to_string(process_rank()) + ": rank " + std::to_string(piece.peer) +
                     " of the group sent " + std::to_string(bytes) + " bytes where " + std::to_string(piece.bytes) +
                     " were expected: the ranks bring payloads of different sizes");
    }
  }
}

std::vector<int> Transfers::missing() const {
  for (const bool receives : {true, false}) {
    std::vector<int> peers;
    for (std::size_t i = 0; i < pieces_.size(); ++i) {
      if (requests_[i] != MPI_REQUEST_NULL && pieces_[i].receives == receives) peers.push_back(pieces_[i].peer);
    }
    std::sort(peers.begin(), peers.end());
    peers.erase(std::unique(peers.begin(), peers.end()), peers.end());
    if (!peers.empty()) return peers;
  }
  return {};
}

void Transfers::cancel_receives() {
  cancelled_ = true;
  for (std::size_t i = 0; i < pieces_.size(); ++i) {
    if (requests_[i] != MPI_REQUEST_NULL && pieces_[i].receives) BLOCKTRAIN_MPI(MPI_Cancel(&requests_[i]));
  }
}

}  // namespace blocktrain::comm::mpi
