#pragma once
/// What a process takes of memory besides its arenas: on a GPU CUDA's context, loaded kernels, libraries and graphs, on
/// the host code, libraries and everything small.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/device_transport.hpp"
#include "kernels/device.hpp"
#include "trainer/ledger/energy/nvml_memory.hpp"
#include "trainer/ledger/records.hpp"
#include "trainer/plan/plan.hpp"
#include "trainer/plan/rank_memory.hpp"

namespace blocktrain::trainer {

/// Memory of a GPU besides arenas.
struct DeviceRuntime {
  std::int64_t bytes = -1;  ///< -1: not known
  DeviceMemoryScope scope = DeviceMemoryScope::unknown;
};

/// NVML of this machine; null where it is not or does not start.
std::shared_ptr<const NvmlSession> open_nvml();

/// Measures what the driver counts as used and the arenas do not explain: NVML's figure of this process where it gives
/// one, else all that is in use on the board, by CUDA. The second counts whatever else is there, other programs and
/// what the driver keeps for itself included, so it is a bound from above and says so by its scope.
class DeviceRuntimeMeter {
 public:
  /// `process_arenas`, `board_arenas`: bytes that this process, and all ranks of the run, have in arenas on the GPU of
  /// `device`, which outlives this.
  DeviceRuntimeMeter(const kernels::Device& device, std::shared_ptr<const NvmlSession> nvml, std::size_t process_arenas,
                     std::size_t board_arenas);

  /// Asks the driver; milliseconds. One thread at a time, which need not be the one that computes. Throws nothing: what
  /// cannot be measured becomes unknown.
  void measure() noexcept;
  /// The last measurement, for any thread.
  DeviceRuntime latest() const;
  /// Why the last measurement was not of the process alone; empty when it was.
  const std::string& why_not_process() const { return why_; }

 private:
  const kernels::Device& device_;
  NvmlMemory nvml_;
  std::size_t process_arenas_, board_arenas_;
  std::string why_;
  std::atomic<std::int64_t> latest_{-1};  ///< bytes and scope in one, so that they belong together
};

/// Bytes of arenas, to be taken off what the system counts.
struct ArenasInUse {
  std::size_t host = 0;     ///< of this process in host memory, as far as the system counts them as resident
  std::size_t process = 0;  ///< of this process on the GPU of this rank
  std::size_t board = 0;    ///< of all ranks on that GPU
};

/// `arenas`: of this rank, taken and zeroed. All ranks call together.
ArenasInUse arenas_in_use(comm::Communicator& world, const Plan& plan, const std::vector<comm::RankDevice>& devices,
                          const RankArenas& arenas);

/// Bytes of the pages of [memory, memory + bytes) that this process's resident size counts, by /proc/self/pagemap. What
/// a driver maps as bare page frames is not among them. All of them where the system does not tell.
std::size_t resident_bytes_of(const void* memory, std::size_t bytes);

}  // namespace blocktrain::trainer
