#pragma once
/// An NCCL without GPUs: it moves host memory between threads, answers "in progress" like the real one, and hangs or
/// fails where it is told to.

#include <atomic>
#include <cstdint>
#include <memory>

#include "comm/device_api.hpp"
#include "comm/nccl/nccl_api.hpp"

namespace blocktrain::comm::test {

/// What goes wrong on one rank.
struct NcclFaults {
  int unique_id_error = 0;
  int init_error = 0;
  bool init_never_ends = false;
  bool taking_in_never_ends = false;  ///< a collective stays "in progress" on the host
  bool device_never_ends = false;     ///< a collective is taken in and never ends on its stream
  int async_error = 0;                ///< found once a collective was taken in
  int group_end_error = 0;
  int send_error = 0;
  bool finalize_never_ends = false;
  bool destroy_hangs = false;
  bool abort_hangs = false;  ///< until the FakeNccl goes
  int event_error = 0;       ///< the device fails when an event is asked for
};

/// One rank's tables, and what was called.
struct FakeNcclRank {
  struct Calls {
    std::atomic<int> aborts{0};
    std::atomic<int> finalizes{0};
    std::atomic<int> destroys{0};
    std::atomic<int> open_groups{0};
  };
  std::shared_ptr<const NcclApi> nccl;
  std::shared_ptr<const DeviceApi> device;
  std::shared_ptr<Calls> calls;
};

/// Allocations that the fake itself made in the calling thread, for tests of those of the code around it.
std::uint64_t allocations_of_the_fake();

class FakeNccl {
 public:
  FakeNccl();
  /// Lets calls that hang go on.
  ~FakeNccl();
  FakeNccl(const FakeNccl&) = delete;
  FakeNccl& operator=(const FakeNccl&) = delete;

  /// Tables for one rank; any thread may ask.
  FakeNcclRank rank(const NcclFaults& faults = {});

  class World;

 private:
  std::shared_ptr<World> world_;
};

}  // namespace blocktrain::comm::test
