#pragma once
/// The collectives as tasks of the engine. All exchange directly between pairs of ranks, so that a rank that does not
/// come can be named; every kind has its own MPI tag, so that ranks in different calls never mix payloads.
///
/// A task owns the buffers MPI works on: a caller that gives up at its deadline leaves them behind intact.

#include <cstdint>
#include <memory>
#include <vector>

#include "comm/mpi/task.hpp"
#include "comm/mpi/transfers.hpp"

namespace blocktrain::comm::mpi {

/// One of the two communicators that a Channel owns, as a collective sees it.
struct Peers {
  MPI_Comm communicator = MPI_COMM_NULL;
  int rank = 0;
  int size = 1;
  std::size_t chunk_bytes = 0;
};

/// Runs phases one after the other; each starts transfers, and the next begins when they have completed.
class Collective : public Task {
 public:
  explicit Collective(const Peers& peers, int mpi_tag)
      : peers_(peers), transfers_(peers.communicator, peers.chunk_bytes), tag_(mpi_tag) {}

  bool advance() final;
  std::string late_text(const char* call, std::chrono::milliseconds deadline) const final;
  void give_up() final { transfers_.cancel_receives(); }
  bool drained() final { return transfers_.test(); }

 protected:
  /// Starts phase `phase` (0, 1, ...); false when there is none.
  virtual bool start_phase(int phase) = 0;

  /// Calls f(peer) for all other ranks, starting after this one so that not all begin with the same.
  template <typename F>
  void for_others(const F& f) {
    for (int i = 1; i < peers_.size; ++i) f((peers_.rank + i) % peers_.size);
  }
  void send(const void* data, std::size_t bytes, int peer) { transfers_.send(data, bytes, peer, tag_); }
  void receive(void* data, std::size_t bytes, int peer) { transfers_.receive(data, bytes, peer, tag_); }

  const Peers peers_;

 private:
  Transfers transfers_;
  int tag_;
  int phase_ = 0;
};

class Barrier final : public Collective {
 public:
  enum class Kind { barrier, closing };
  Barrier(const Peers& peers, Kind kind) : Collective(peers, kind == Kind::barrier ? 1 : 2) {}

 private:
  bool start_phase(int phase) override;
};

class Broadcast final : public Collective {
 public:
  explicit Broadcast(const Peers& peers) : Collective(peers, 3) {}
  int root = 0;
  std::vector<std::byte> buffer;  ///< what the root sends, or as many bytes to receive

 private:
  bool start_phase(int phase) override;
};

/// Reduce-scatter, own sum in rank order, all-gather.
class AllReduce final : public Collective {
 public:
  explicit AllReduce(const Peers& peers) : Collective(peers, 4), parts_(static_cast<std::size_t>(peers.size)) {}
  /// Makes room for `count` values.
  void resize(std::size_t count);
  std::vector<float> buffer;  ///< values in, sums out

 private:
  bool start_phase(int phase) override;
  std::vector<float> arrived_;  ///< this rank's shard of everybody else's values, in rank order
  std::vector<const float*> parts_;
};

class AllGather final : public Collective {
 public:
  explicit AllGather(const Peers& peers) : Collective(peers, 5) {}
  std::vector<std::byte> own;
  std::vector<std::vector<std::byte>> all;

 private:
  bool start_phase(int phase) override;
  std::vector<std::uint64_t> sizes_;
};

class Channel;
class Engine;

class Split final : public Collective {
 public:
  Split(const Peers& peers, Engine& engine) : Collective(peers, 6), engine_(engine) {}
  std::int32_t color = 0;
  std::shared_ptr<Channel> made;  ///< null for a negative color

 private:
  bool start_phase(int phase) override;
  Engine& engine_;  ///< outlives its tasks' use: only the engine thread runs them
  std::vector<std::int32_t> colors_;
};

}  // namespace blocktrain::comm::mpi
