#pragma once
/// A Communicator over one Channel of the engine.

#include <atomic>

#include "comm/mpi/engine.hpp"
#include "comm/traffic.hpp"

namespace blocktrain::comm::mpi {

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator(std::shared_ptr<Engine> engine, std::shared_ptr<Channel> channel, std::chrono::milliseconds deadline);
  ~MpiCommunicator() override;

  int rank() const override { return channel_->peers.rank; }
  int size() const override { return channel_->peers.size; }
  const char* transport() const override { return "mpi"; }
  std::unique_ptr<Communicator> split(int color) override;
  void barrier(TrafficPurpose purpose) override;
  void broadcast(std::span<std::byte> data, int root, TrafficPurpose purpose) override;
  void all_reduce(std::span<float> data, TrafficPurpose purpose) override;
  std::vector<std::vector<std::byte>> all_gather(std::span<const std::byte> data, TrafficPurpose purpose) override;
  void post(int destination, int tag, std::span<const std::byte> payload, TrafficPurpose purpose) override;
  std::optional<Message> poll(int tag) override;
  std::optional<Message> wait(int tag, std::chrono::milliseconds timeout) override;
  void flush() override { channel_->mailbox.flush(deadline_.load()); }
  Traffic traffic() const override { return traffic_.read(); }
  std::size_t all_reduce_buffer_bytes(std::size_t count) const override;
  void set_deadline(std::chrono::milliseconds deadline) override { deadline_.store(deadline); }
  std::chrono::milliseconds deadline() const { return deadline_.load(); }
  [[noreturn]] void abort(int exit_code) override { engine_->abort(exit_code); }

 private:
  void expect_healthy(const char* call) const;
  void run(const std::shared_ptr<Task>& task, const char* call);
  std::uint64_t others() const { return static_cast<std::uint64_t>(size() - 1); }

  std::shared_ptr<Engine> engine_;
  std::shared_ptr<Channel> channel_;
  TrafficCounters traffic_;
  std::atomic<std::chrono::milliseconds> deadline_;
  std::atomic<bool> in_collective_{false};
  std::string failure_;  ///< of an earlier collective; its task may still be inside MPI and is not used again
  std::shared_ptr<Barrier> barrier_;
  std::shared_ptr<Broadcast> broadcast_;
  std::shared_ptr<AllReduce> all_reduce_;
  std::shared_ptr<AllGather> all_gather_;
  std::shared_ptr<Split> split_;
};

}  // namespace blocktrain::comm::mpi
