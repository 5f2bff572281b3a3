#pragma once
/// Device memory between ranks by NCCL. Communicators are non-blocking: every call and every wait is polled against
/// the deadline, and on the first failure NCCL is aborted from a helper thread that is left behind should even that
/// hang (comm/patience.hpp).

#include <atomic>
#include <chrono>
#include <memory>
#include <span>
#include <string>

#include "comm/deadline.hpp"
#include "comm/device_api.hpp"
#include "comm/device_communicator.hpp"
#include "comm/nccl/nccl_api.hpp"
#include "comm/traffic.hpp"

namespace blocktrain::comm {

struct NcclOptions {
  std::chrono::milliseconds deadline{std::chrono::seconds(300)};
  /// How long ncclCommAbort may take before it is left behind; ncclCommDestroy, in finish(), has the deadline.
  std::chrono::milliseconds abort_patience{std::chrono::seconds(5)};
};

class NcclCommunicator final : public DeviceCommunicator {
 public:
  /// Collective over `group`, whose first rank makes NCCL's unique id and sends it to the others (control traffic). The
  /// device of each rank is its thread's current one, and no two ranks have the same (comm/device_transport.hpp).
  /// Throws RunError on any failure of NCCL and past the deadline. `group` is not used afterwards.
  NcclCommunicator(std::shared_ptr<const NcclApi> nccl, std::shared_ptr<const DeviceApi> device, Communicator& group,
                   const NcclOptions& options = {});
  /// finish(), where nothing failed; a failure of that is one line on stderr. Destruction by an exception aborts.
  ~NcclCommunicator() override;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  const char* transport() const override { return "nccl"; }
  bool returns_early() const override { return true; }
  void all_reduce_sum(std::span<float> data, TrafficPurpose purpose, void* stream) override;
  void broadcast(void* data, std::size_t bytes, int root, TrafficPurpose purpose, void* stream) override;
  void exchange(std::span<const Transfer> transfers, TrafficPurpose purpose, void* stream) override;
  bool poll(void* stream) override;
  void wait(void* stream) override;
  Traffic traffic() const override { return traffic_.read(); }
  void set_deadline(std::chrono::milliseconds deadline) override { options_.deadline = deadline; }
  void finish() override;
  bool abort() noexcept override;

 private:
  NcclUniqueId share_unique_id(Communicator& group);
  void expect_healthy(const char* call) const;
  // An operation is begun, issued and settled; one on a stream is marked there as well.
  void begin(const char* call);
  void begin_on(const char* call, void* stream);
  int issue(std::span<const Transfer> transfers, void* stream);
  /// Returns when NCCL has taken in the call that gave `code`, which may be before it has ended on the device.
  void settle(int code);
  void mark_end(void* stream);
  bool still_pending(void* stream);
  void expect_in_time();
  [[noreturn]] void fail(const std::string& what);
  std::string words_of(int code) const;

  std::shared_ptr<const NcclApi> nccl_;
  std::shared_ptr<const DeviceApi> device_;
  NcclOptions options_;
  int rank_;
  int size_;
  int exceptions_at_start_;
  int device_index_ = 0;  ///< current in the thread that made this; NCCL's helper threads are put there
  std::shared_ptr<void*> handle_ = std::make_shared<void*>(nullptr);  ///< NCCL writes it; as long-lived as its threads
  void* communicator_ = nullptr;  ///< NCCL's; null before creation and after the end
  DeviceEvent ended_;             ///< passed when what was started last has ended on the device
  void* stream_ = nullptr;        ///< that of what is pending
  bool pending_ = false;
  const char* call_ = "";         ///< that is under way
  RunningClock::time_point end_;  ///< of its time
  std::string failure_;           ///< why no operation is possible any more
  bool left_behind_ = false;      ///< NCCL did not return from its abort
  TrafficCounters traffic_;
  std::atomic<bool> in_collective_{false};
};

}  // namespace blocktrain::comm
