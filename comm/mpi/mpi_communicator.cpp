#include "comm/mpi/mpi_communicator.hpp"

#include <algorithm>
#include <utility>

#include "comm/collective_turn.hpp"
#include "comm/placement.hpp"
#include "kernels/error.hpp"

namespace blocktrain::comm::mpi {

MpiCommunicator::MpiCommunicator(std::shared_ptr<Engine> engine, std::shared_ptr<Channel> channel,
                                 std::chrono::milliseconds deadline)
    : engine_(std::move(engine)),
      channel_(std::move(channel)),
      deadline_(deadline),
      barrier_(std::make_shared<Barrier>(channel_->peers, Barrier::Kind::barrier)),
      broadcast_(std::make_shared<Broadcast>(channel_->peers)),
      all_reduce_(std::make_shared<AllReduce>(channel_->peers)),
      all_gather_(std::make_shared<AllGather>(channel_->peers)),
      split_(std::make_shared<Split>(channel_->peers, *engine_)) {}

MpiCommunicator::~MpiCommunicator() { channel_->mailbox.close(); }

void MpiCommunicator::expect_healthy(const char* call) const {
  if (failure_.empty()) return;
  throw RunError("rank " + std::to_string(rank()) + ": " + call + " is not possible any more: " + failure_);
}

void MpiCommunicator::run(const std::shared_ptr<Task>& task, const char* call) {
  try {
    engine_->run(task, call, deadline_.load());
  } catch (const std::exception& error) {
    failure_ = error.what();
    throw;
  }
}

std::unique_ptr<Communicator> MpiCommunicator::split(int color) {
  const CollectiveTurn turn(in_collective_);
  expect_healthy("split");
  traffic_.add(TrafficPurpose::control, sizeof(std::int32_t) * others());
  split_->color = color;
  run(split_, "split");
  const std::shared_ptr<Channel> made = std::move(split_->made);
  if (!made) return nullptr;
  return std::make_unique<MpiCommunicator>(engine_, made, deadline_.load());
}

void MpiCommunicator::barrier(TrafficPurpose purpose) {
  const CollectiveTurn turn(in_collective_);
  expect_healthy("barrier");
  traffic_.add(purpose, 0);
  if (size() > 1) run(barrier_, "barrier");
}

void MpiCommunicator::broadcast(std::span<std::byte> data, int root, TrafficPurpose purpose) {
  BLOCKTRAIN_EXPECTS(root >= 0 && root < size());
  const CollectiveTurn turn(in_collective_);
  expect_healthy("broadcast");
  traffic_.add(purpose, root == rank() ? data.size() * others() : 0);
  if (size() == 1) return;
  broadcast_->root = root;
  broadcast_->buffer.resize(data.size());
  if (root == rank()) std::copy(data.begin(), data.end(), broadcast_->buffer.begin());
  run(broadcast_, "broadcast");
  if (root != rank()) std::copy(broadcast_->buffer.begin(), broadcast_->buffer.end(), data.begin());
}

void MpiCommunicator::all_reduce(std::span<float> data, TrafficPurpose purpose) {
  const CollectiveTurn turn(in_collective_);
  expect_healthy("all_reduce");
  traffic_.add(purpose, all_reduce_bytes_sent(data.size(), size(), rank()));
  if (size() == 1) return;
  all_reduce_->resize(data.size());
  std::copy(data.begin(), data.end(), all_reduce_->buffer.begin());
  run(all_reduce_, "all_reduce");
  std::copy(all_reduce_->buffer.begin(), all_reduce_->buffer.end(), data.begin());
}

std::vector<std::vector<std::byte>> MpiCommunicator::all_gather(std::span<const std::byte> data,
                                                                TrafficPurpose purpose) {
  const CollectiveTurn turn(in_collective_);
  expect_healthy("all_gather");
  traffic_.add(purpose, data.size() * others());
  all_gather_->own.assign(data.begin(), data.end());
  if (size() == 1) return {all_gather_->own};
  run(all_gather_, "all_gather");
  return std::move(all_gather_->all);
}

void MpiCommunicator::post(int destination, int tag, std::span<const std::byte> payload, TrafficPurpose purpose) {
  BLOCKTRAIN_EXPECTS(destination >= 0 && destination < size());
  BLOCKTRAIN_EXPECTS(tag >= 0 && tag <= max_tag);
  traffic_.add(purpose, payload.size());
  channel_->mailbox.post(destination, tag, payload);
  if (destination != rank()) engine_->wake();
}

std::optional<Message> MpiCommunicator::poll(int tag) {
  return channel_->mailbox.inbox().take(tag, std::chrono::milliseconds(0));
}

std::optional<Message> MpiCommunicator::wait(int tag, std::chrono::milliseconds timeout) {
  return channel_->mailbox.inbox().take(tag, timeout);
}

std::size_t MpiCommunicator::all_reduce_buffer_bytes(std::size_t count) const {
  if (size() == 1) return 0;
  const std::size_t mine = shard(count, size(), rank()).size();
  return (count + mine * static_cast<std::size_t>(size() - 1)) * sizeof(float);
}

}  // namespace blocktrain::comm::mpi
