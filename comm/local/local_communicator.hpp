#pragma once
/// One rank of a group of threads.

#include <atomic>

#include "comm/local/group.hpp"
#include "comm/traffic.hpp"

namespace blocktrain::comm::local {

class LocalCommunicator final : public Communicator {
 public:
  LocalCommunicator(std::shared_ptr<Registry> registry, std::shared_ptr<Group> group, int rank);

  int rank() const override { return rank_; }
  int size() const override { return group_->size(); }
  const char* transport() const override { return "local"; }
  std::unique_ptr<Communicator> split(int color) override;
  void barrier(TrafficPurpose purpose) override;
  void broadcast(std::span<std::byte> data, int root, TrafficPurpose purpose) override;
  void all_reduce(std::span<float> data, TrafficPurpose purpose) override;
  std::vector<std::vector<std::byte>> all_gather(std::span<const std::byte> data, TrafficPurpose purpose) override;
  void post(int destination, int tag, std::span<const std::byte> payload, TrafficPurpose purpose) override;
  std::optional<Message> poll(int tag) override;
  std::optional<Message> wait(int tag, std::chrono::milliseconds timeout) override;
  void flush() override {}  // a message has left when it is in the destination's inbox
  Traffic traffic() const override { return traffic_.read(); }
  std::size_t all_reduce_buffer_bytes(std::size_t count) const override;
  void set_deadline(std::chrono::milliseconds deadline) override { deadline_.store(deadline); }
  [[noreturn]] void abort(int exit_code) override;

 private:
  void meet(const char* call) { group_->meet(rank_, call, deadline_.load()); }
  Slot& own() { return group_->slot(rank_); }

  std::shared_ptr<Registry> registry_;
  std::shared_ptr<Group> group_;
  int rank_;
  TrafficCounters traffic_;
  std::atomic<std::chrono::milliseconds> deadline_{std::chrono::seconds(300)};
  std::atomic<bool> in_collective_{false};
  std::vector<const float*> parts_;
};

}  // namespace blocktrain::comm::local
