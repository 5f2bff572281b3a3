#include "comm/mpi/collectives.hpp"

#include <algorithm>

#include "comm/mpi/engine.hpp"
#include "comm/placement.hpp"
#include "comm/rank_order_sum.hpp"
#include "comm/wording.hpp"

namespace blocktrain::comm::mpi {

bool Collective::advance() {
  while (transfers_.test()) {
    if (!start_phase(phase_)) {
      phase_ = 0;
      return true;
    }
    ++phase_;
  }
  return false;
}

std::string Collective::late_text(const char* call, std::chrono::milliseconds deadline) const {
  return "rank " + std::to_string(peers_.rank) + ": " + call +
         " failed: " + missing_text(transfers_.missing(), peers_.size, call, deadline);
}

bool Barrier::start_phase(int phase) {
  if (phase > 0) return false;
  for_others([&](int peer) { receive(nullptr, 0, peer); });
  for_others([&](int peer) { send(nullptr, 0, peer); });
  return true;
}

bool Broadcast::start_phase(int phase) {
  if (phase > 0) return false;
  if (peers_.rank == root) {
    for_others([&](int peer) { send(buffer.data(), buffer.size(), peer); });
  } else {
    receive(buffer.data(), buffer.size(), root);
  }
  return true;
}

void AllReduce::resize(std::size_t count) {
  buffer.resize(count);
  arrived_.resize(shard(count, peers_.size, peers_.rank).size() * static_cast<std::size_t>(peers_.size - 1));
}

bool AllReduce::start_phase(int phase) {
  const std::uint64_t count = buffer.size();
  const Shard mine = shard(count, peers_.size, peers_.rank);
  float* const my_sums = buffer.data() + mine.begin;
  const auto arrived_from = [&](int peer) {
    return arrived_.data() + static_cast<std::size_t>(peer < peers_.rank ? peer : peer - 1) * mine.size();
  };
  if (phase == 0) {
    for_others([&](int peer) { receive(arrived_from(peer), mine.size() * sizeof(float), peer); });
    for_others([&](int peer) {
      const Shard theirs = shard(count, peers_.size, peer);
      send(buffer.data() + theirs.begin, theirs.size() * sizeof(float), peer);
    });
    return true;
  }
  if (phase == 1) {
    for (int rank = 0; rank < peers_.size; ++rank) {
      parts_[static_cast<std::size_t>(rank)] = rank == peers_.rank ? my_sums : arrived_from(rank);
    }
    sum_in_rank_order(my_sums, parts_, mine.size());
    for_others([&](int peer) {
      const Shard theirs = shard(count, peers_.size, peer);
      receive(buffer.data() + theirs.begin, theirs.size() * sizeof(float), peer);
    });
    for_others([&](int peer) { send(my_sums, mine.size() * sizeof(float), peer); });
    return true;
  }
  return false;
}

bool AllGather::start_phase(int phase) {
  const auto at = [](int rank) { return static_cast<std::size_t>(rank); };
  if (phase == 0) {
    sizes_.assign(at(peers_.size), own.size());
    for_others([&](int peer) { receive(&sizes_[at(peer)], sizeof(std::uint64_t), peer); });
    for_others([&](int peer) { send(&sizes_[at(peers_.rank)], sizeof(std::uint64_t), peer); });
    return true;
  }
  if (phase == 1) {
    all.assign(at(peers_.size), {});
    all[at(peers_.rank)] = own;
    for_others([&](int peer) {
      all[at(peer)].resize(sizes_[at(peer)]);
      receive(all[at(peer)].data(), all[at(peer)].size(), peer);
    });
    for_others([&](int peer) { send(own.data(), own.size(), peer); });
    return true;
  }
  return false;
}

bool Split::start_phase(int phase) {
  const auto at = [](int rank) { return static_cast<std::size_t>(rank); };
  if (phase == 0) {
    colors_.assign(at(peers_.size), color);
    for_others([&](int peer) { receive(&colors_[at(peer)], sizeof(std::int32_t), peer); });
    for_others([&](int peer) { send(&colors_[at(peers_.rank)], sizeof(std::int32_t), peer); });
    return true;
  }
  // MPI has no nonblocking split. All ranks are known to be here now, so this one does not wait for a slow rank; if
  // one dies in between, the caller leaves at its deadline without the engine.
  MPI_Comm split = MPI_COMM_NULL;
  BLOCKTRAIN_MPI(MPI_Comm_split(peers_.communicator, color < 0 ? MPI_UNDEFINED : color, peers_.rank, &split));
  made = split == MPI_COMM_NULL ? nullptr : engine_.open_channel(split);
  return false;
}

}  // namespace blocktrain::comm::mpi
