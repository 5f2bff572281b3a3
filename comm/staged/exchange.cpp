#include "comm/staged/exchange.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#include "comm/wording.hpp"
#include "kernels/error.hpp"

namespace blocktrain::comm::staged {
namespace {

constexpr int tag = 0;  // the communicator is the staged one's own

/// What stands before the bytes of a chunk. Acknowledgements are heads alone.
struct Head {
  enum class Kind : std::uint64_t { chunk = 1, acknowledgement = 2 };
  Kind kind = Kind::chunk;
  std::uint64_t total = 0;  ///< bytes of the whole transfer, so that the receiver sees a disagreement
};
static_assert(sizeof(Head) == head_bytes);

struct Progress {
  Transfer transfer;
  std::size_t moved = 0;
};

class Exchange {
 public:
  Exchange(Communicator& host, Staging& staging, std::size_t chunk_bytes, EarlyMessages& early, TrafficPurpose purpose,
           void* stream, std::chrono::milliseconds deadline)
      : host_(host),
        staging_(staging),
        chunk_bytes_(chunk_bytes),
        early_(early),
        purpose_(purpose),
        stream_(stream),
        deadline_(deadline),
        peers_(static_cast<std::size_t>(host.size())) {}

  void run(std::span<const Transfer> transfers) {
    for (const Transfer& transfer : transfers) {
      if (transfer.bytes == 0) continue;
      Peer& peer = peers_[static_cast<std::size_t>(transfer.peer)];
      (transfer.direction == Transfer::Direction::send ? peer.sends : peer.receives).push_back({transfer});
    }
    copy_own();
    while (true) {
      for (std::size_t source = 0; source < peers_.size(); ++source) {
        while (!early_[source].empty() && !peers_[source].receives.empty()) {
          const Message message = std::move(early_[source].front());
          early_[source].pop_front();
          take_chunk(message);
        }
      }
      for (std::size_t peer = 0; peer < peers_.size(); ++peer) post_chunks(static_cast<int>(peer));
      const std::vector<int> open = open_peers();
      if (open.empty()) return;
      std::optional<Message> message = host_.wait(tag, deadline_);
      if (!message) throw RunError(missing_text(open, host_.size(), "exchange", deadline_));
      take(std::move(*message));
    }
  }

 private:
  struct Peer {
    std::deque<Progress> sends;
    std::deque<Progress> receives;
    int in_flight = 0;
  };

  /// What this rank sends to itself does not pass through the host.
  void copy_own() {
    Peer& own = peers_[static_cast<std::size_t>(host_.rank())];
    BLOCKTRAIN_EXPECTS(own.sends.size() == own.receives.size());
    for (std::size_t i = 0; i < own.sends.size(); ++i) {
      const Transfer& from = own.sends[i].transfer;
      const Transfer& to = own.receives[i].transfer;
      BLOCKTRAIN_EXPECTS(from.bytes == to.bytes);
      staging_.on_device(to.data, from.data, from.bytes, stream_, deadline_);
    }
    own = Peer{};
  }

  std::vector<int> open_peers() const {
    std::vector<int> open;
    for (std::size_t peer = 0; peer < peers_.size(); ++peer) {
      const Peer& p = peers_[peer];
      if (!p.sends.empty() || !p.receives.empty() || p.in_flight > 0) open.push_back(static_cast<int>(peer));
    }
    return open;
  }

  void post_chunks(int destination) {
    Peer& peer = peers_[static_cast<std::size_t>(destination)];
    while (!peer.sends.empty() && peer.in_flight < chunks_in_flight) {
      Progress& progress = peer.sends.front();
      const std::size_t bytes = std::min(chunk_bytes_, progress.transfer.bytes - progress.moved);
      staging_.to_host(static_cast<const std::byte*>(progress.transfer.data) + progress.moved, bytes, stream_,
                       deadline_);
      const Head head{Head::Kind::chunk, progress.transfer.bytes};
      std::memcpy(staging_.buffer().data(), &head, sizeof head);
      host_.post(destination, tag, staging_.buffer().first(head_bytes + bytes), purpose_);
      ++peer.in_flight;
      progress.moved += bytes;
      if (progress.moved == progress.transfer.bytes) peer.sends.pop_front();
    }
  }

  static Head head_of(const Message& message) {
    BLOCKTRAIN_EXPECTS(message.payload.size() >= head_bytes);
    Head head;
    std::memcpy(&head, message.payload.data(), sizeof head);
    return head;
  }

  void take(Message message) {
    const auto source = static_cast<std::size_t>(message.source);
    if (head_of(message).kind == Head::Kind::acknowledgement) {
      --peers_[source].in_flight;
    } else if (peers_[source].receives.empty()) {
      early_[source].push_back(std::move(message));
    } else {
      take_chunk(message);
    }
  }

  void take_chunk(const Message& message) {
    Peer& peer = peers_[static_cast<std::size_t>(message.source)];
    Progress& progress = peer.receives.front();
    const std::size_t bytes = message.payload.size() - head_bytes;
    const std::uint64_t total = head_of(message).total;
    if (total != progress.transfer.bytes || bytes != std::min(chunk_bytes_, progress.transfer.bytes - progress.moved)) {
      throw RunError("rank " + std::to_string(message.source) + " sends " + std::to_string(total) + " bytes, rank " +
                     std::to_string(host_.rank()) + " expects " + std::to_string(progress.transfer.bytes));
    }
    std::memcpy(staging_.payload(), message.payload.data() + head_bytes, bytes);
    staging_.to_device(static_cast<std::byte*>(progress.transfer.data) + progress.moved, bytes, stream_, deadline_);
    progress.moved += bytes;
    if (progress.moved == progress.transfer.bytes) peer.receives.pop_front();
    const Head head{Head::Kind::acknowledgement, 0};
    host_.post(message.source, tag, std::as_bytes(std::span(&head, 1)), purpose_);
  }

  Communicator& host_;
  Staging& staging_;
  const std::size_t chunk_bytes_;
  EarlyMessages& early_;
  const TrafficPurpose purpose_;
  void* const stream_;
  const std::chrono::milliseconds deadline_;
  std::vector<Peer> peers_;
};

}  // namespace

void exchange(Communicator& host, Staging& staging, std::size_t chunk_bytes, EarlyMessages& early,
              std::span<const Transfer> transfers, TrafficPurpose purpose, void* stream,
              std::chrono::milliseconds deadline) {
  Exchange(host, staging, chunk_bytes, early, purpose, stream, deadline).run(transfers);
}

}  // namespace blocktrain::comm::staged
