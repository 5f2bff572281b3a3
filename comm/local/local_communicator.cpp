#include "comm/local/local_communicator.hpp"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "comm/collective_turn.hpp"
#include "comm/placement.hpp"
#include "comm/rank_order_sum.hpp"
#include "kernels/error.hpp"

namespace blocktrain::comm::local {

// Collectives copy into slots that the group owns, never between the callers' buffers: a rank that gives up at its
// deadline leaves, and its buffer with it, while others may still be reading.

LocalCommunicator::LocalCommunicator(std::shared_ptr<Registry> registry, std::shared_ptr<Group> group, int rank)
    : registry_(std::move(registry)), group_(std::move(group)), rank_(rank) {
  parts_.resize(static_cast<std::size_t>(size()));
}

std::unique_ptr<Communicator> LocalCommunicator::split(int color) {
  const CollectiveTurn turn(in_collective_);
  traffic_.add(TrafficPurpose::control, sizeof(std::int32_t) * static_cast<std::uint64_t>(size() - 1));
  group_->expect_healthy(rank_, "split");
  own().color = color;
  meet("split");
  if (color >= 0) {
    std::vector<int> members;
    for (int other = 0; other < size(); ++other) {
      if (group_->slot(other).color == color) members.push_back(other);
    }
    if (members.front() == rank_) {
      const auto child = registry_->make_group(static_cast<int>(members.size()));
      for (std::size_t i = 0; i < members.size(); ++i) {
        group_->slot(members[i]).child = child;
        group_->slot(members[i]).child_rank = static_cast<int>(i);
      }
    }
  }
  meet("split");
  if (color < 0) return nullptr;
  auto made = std::make_unique<LocalCommunicator>(registry_, std::move(own().child), own().child_rank);
  own().child.reset();
  made->set_deadline(deadline_.load());
  return made;
}

void LocalCommunicator::barrier(TrafficPurpose purpose) {
  const CollectiveTurn turn(in_collective_);
  traffic_.add(purpose, 0);
  meet("barrier");
}

void LocalCommunicator::broadcast(std::span<std::byte> data, int root, TrafficPurpose purpose) {
  BLOCKTRAIN_EXPECTS(root >= 0 && root < size());
  const CollectiveTurn turn(in_collective_);
  traffic_.add(purpose, root == rank_ ? data.size() * static_cast<std::uint64_t>(size() - 1) : 0);
  if (size() == 1) return;
  group_->expect_healthy(rank_, "broadcast");
  own().count = data.size();
  if (root == rank_) own().bytes.assign(data.begin(), data.end());
  meet("broadcast");
  Slot& source = group_->slot(root);
  for (int other = 0; other < size(); ++other) {
    if (group_->slot(other).count == source.count) continue;
    group_->fail(rank_, "broadcast",
                 "rank " + std::to_string(root) + " sends " + std::to_string(source.count) + " bytes, rank " +
                     std::to_string(other) + " expects " + std::to_string(group_->slot(other).count));
  }
  if (root != rank_) std::copy(source.bytes.begin(), source.bytes.end(), data.begin());
  meet("broadcast");
}

void LocalCommunicator::all_reduce(std::span<float> data, TrafficPurpose purpose) {
  const CollectiveTurn turn(in_collective_);
  traffic_.add(purpose, all_reduce_bytes_sent(data.size(), size(), rank_));
  if (size() == 1) return;
  group_->expect_healthy(rank_, "all_reduce");
  own().count = data.size();
  own().floats.resize(data.size());
  std::copy(data.begin(), data.end(), own().floats.begin());
  meet("all_reduce");
  for (int other = 0; other < size(); ++other) {
    if (group_->slot(other).count == data.size()) continue;
    group_->fail(rank_, "all_reduce",
                 "ranks bring different numbers of values, rank " + std::to_string(rank_) + " " +
                     std::to_string(data.size()) + " and rank " + std::to_string(other) + " " +
                     std::to_string(group_->slot(other).count));
  }
  const Shard mine = shard(data.size(), size(), rank_);
  for (int other = 0; other < size(); ++other) {
    parts_[static_cast<std::size_t>(other)] = group_->slot(other).floats.data() + mine.begin;
  }
  sum_in_rank_order(own().floats.data() + mine.begin, parts_, mine.size());
  meet("all_reduce");
  for (int other = 0; other < size(); ++other) {
    const Shard theirs = shard(data.size(), size(), other);
    std::copy_n(group_->slot(other).floats.data() + theirs.begin, theirs.size(), data.data() + theirs.begin);
  }
  meet("all_reduce");
}

std::vector<std::vector<std::byte>> LocalCommunicator::all_gather(std::span<const std::byte> data,
                                                                  TrafficPurpose purpose) {
  const CollectiveTurn turn(in_collective_);
  traffic_.add(purpose, data.size() * static_cast<std::uint64_t>(size() - 1));
  group_->expect_healthy(rank_, "all_gather");
  own().bytes.assign(data.begin(), data.end());
  meet("all_gather");
  std::vector<std::vector<std::byte>> all;
  all.reserve(static_cast<std::size_t>(size()));
  for (int other = 0; other < size(); ++other) all.push_back(group_->slot(other).bytes);
  meet("all_gather");
  return all;
}

void LocalCommunicator::post(int destination, int tag, std::span<const std::byte> payload, TrafficPurpose purpose) {
  BLOCKTRAIN_EXPECTS(destination >= 0 && destination < size());
  BLOCKTRAIN_EXPECTS(tag >= 0 && tag <= max_tag);
  traffic_.add(purpose, payload.size());
  group_->slot(destination).inbox.deliver(tag, {rank_, {payload.begin(), payload.end()}});
}

std::optional<Message> LocalCommunicator::poll(int tag) { return own().inbox.take(tag, std::chrono::milliseconds(0)); }

std::optional<Message> LocalCommunicator::wait(int tag, std::chrono::milliseconds timeout) {
  return own().inbox.take(tag, timeout);
}

std::size_t LocalCommunicator::all_reduce_buffer_bytes(std::size_t count) const {
  return size() == 1 ? 0 : count * sizeof(float);
}

void LocalCommunicator::abort(int exit_code) { std::_Exit(exit_code); }

}  // namespace blocktrain::comm::local
