#pragma once
/// What ranks tell the coordinator: plain records, and their form as bytes of a message. A rank's training thread
/// fills StepRecords without allocating; its service thread packs them, with what else it knows, into packets.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace blocktrain::trainer {

/// Where joules are measured. The order is that of every array "by source".
enum class EnergySource : std::uint8_t { gpu, cpu, dram };
inline constexpr std::size_t energy_sources = 3;
/// "gpu", "cpu" or "dram", the keys of the ledger.
std::string_view to_string(EnergySource source);

/// Purposes of traffic, in the order of comm::TrafficPurpose; the keys of the ledger.
inline constexpr std::array<std::string_view, 3> traffic_names{"inter_block", "replica", "control"};
inline constexpr std::size_t control_traffic = 2;  ///< index of "control", the last

/// One number per source of energy or per purpose of traffic.
using BySource = std::array<double, energy_sources>;
using ByPurpose = std::array<std::uint64_t, traffic_names.size()>;

/// Nanoseconds of CLOCK_MONOTONIC: one clock for all processes of a host, unrelated between hosts.
std::int64_t monotonic_ns();
/// Nanoseconds since 1970 (CLOCK_REALTIME).
std::int64_t unix_ns();

/// Of what memory a GPU's driver told when asked how much is in use besides the arenas.
enum class DeviceMemoryScope : std::int32_t {
  unknown,  ///< nothing was measured: no GPU, or a driver that does not say
  process,  ///< of this process alone
  board,    ///< of all that is on the GPU, other programs included: no less than what the process uses
};
inline constexpr std::int32_t device_memory_scopes = 3;
/// "process" or "board", as in the ledger; empty for unknown.
std::string_view to_string(DeviceMemoryScope scope);

/// One training step of one block on one rank. Step s is update number s, counted from 0, so a checkpoint at step S
/// holds updates 0..S-1 and a resumed run begins with s = S.
struct StepRecord {
  std::int64_t step = 0;
  std::int32_t block = 0;
  std::int32_t replica = 0;   ///< index among the ranks that share this block's batch
  std::int32_t replicas = 1;  ///< their number; the row is written when all of them have reported
  std::int32_t rank = 0;
  std::int32_t host = 0;  ///< index of the host; ranks of one host share its sensors
  DeviceMemoryScope memory_scope = DeviceMemoryScope::unknown;  ///< of memory_device_runtime
  std::int64_t tokens = 0;                                      ///< targets predicted by this rank in this step
  std::int64_t samples = 0;           ///< those of this rank in this step; weighs both losses among replicas
  double loss = 0;                    ///< mean weighted loss of this rank's samples
  double unweighted = 0;              ///< mean unweighted loss of this rank's samples
  double level_lo = 0, level_hi = 0;  ///< the block's noise interval, overlap included; zeros: it knows no noise
  double learning_rate = 0;
  double gradient_norm = 0;                   ///< of the whole batch's gradient, before clipping
  double seconds = 0;                         ///< wall time of the step
  std::int64_t busy_begin = 0, busy_end = 0;  ///< monotonic_ns() while the step kept the device busy
  std::int64_t unix_end = 0;                  ///< unix_ns() at the end of the step
  ByPurpose bytes_sent{};                     ///< payload handed to communicators since the row before
  std::int64_t memory_planned = -1;           ///< bytes of the arenas by the plan; -1: not known
  std::int64_t memory_measured = -1;          ///< bytes of the arenas that were taken; -1: not known
  std::int64_t memory_runtime = -1;           ///< host bytes of the process besides its arenas; -1: not known
  std::int64_t memory_device_runtime = -1;    ///< bytes of its GPU's memory besides the arenas there; -1: not known
};
static_assert(std::is_trivially_copyable_v<StepRecord> && sizeof(StepRecord) == 184);

/// What a rank's training thread is busy with.
enum class BusyPurpose : std::uint8_t { step, evaluation, checkpoint };
inline constexpr std::size_t busy_purposes = 3;

/// Work of a rank's training thread that is no step: a held-out loss, or the wait for a checkpoint to be written.
struct WorkRecord {
  std::int32_t rank = 0;
  std::int32_t host = 0;
  BusyPurpose purpose = BusyPurpose::evaluation;  ///< not step: those have StepRecords
  std::array<std::uint8_t, 7> reserved{};
  std::int64_t busy_begin = 0, busy_end = 0;  ///< monotonic_ns(); never while a step of the rank runs
};
static_assert(std::is_trivially_copyable_v<WorkRecord> && sizeof(WorkRecord) == 32);

/// What a rank was doing at `time`: every step or other work that it began before `time` has been reported, but the one
/// that it began at `busy_since` and that is still running (0: none). Lets energy be shared out while a long step runs.
struct BusyMark {
  std::int32_t rank = 0;
  std::int32_t reserved = 0;
  std::int64_t time = 0;  ///< monotonic_ns(); 0: nothing is known beyond the records
  std::int64_t busy_since = 0;
};
static_assert(std::is_trivially_copyable_v<BusyMark> && sizeof(BusyMark) == 24);

/// Joules that one sensor measured over an interval of its host's clock.
struct EnergyRecord {
  std::int32_t host = 0;
  std::int32_t device = -1;  ///< GPU index on the host; -1 for what serves the whole host
  EnergySource source = EnergySource::cpu;
  std::array<std::uint8_t, 7> reserved{};
  double joules = 0;
  std::int64_t begin = 0, end = 0;  ///< monotonic_ns(); an interval begins where the one before ended
  double update_seconds = -1;       ///< at what period the counter moves; -1: not known
  double error_joules = -1;         ///< what `joules` may be off by since the counter lags at both ends; -1: not known
};
static_assert(std::is_trivially_copyable_v<EnergyRecord> && sizeof(EnergyRecord) == 56);

/// Whether a source is measured on a host, from now on. It may stop being available, never begin to be again.
struct SourceStatus {
  std::int32_t host = 0;
  std::int32_t device = -1;  ///< as in EnergyRecord; -1 with source gpu: the ranks of the host that use no GPU
  EnergySource source = EnergySource::cpu;
  bool available = false;
  std::string sensor;              ///< name of the sensor, e.g. "powercap"
  std::string reason;              ///< why it is not available, and what to do about it; empty when it is
  double update_seconds = -1;      ///< at what period the counter moves; -1: not known
  std::string update_reason = {};  ///< of a source that is available: why the period is not known; empty when it is
};

/// A message of one rank. Steps and other work, each in the order in which it ran, were finished before `marks` were
/// taken; energy was measured before `sources` changed.
struct LedgerPacket {
  std::vector<StepRecord> steps;
  std::vector<WorkRecord> work;
  std::vector<BusyMark> marks;
  std::vector<EnergyRecord> energy;
  std::vector<SourceStatus> sources;

  bool empty() const { return steps.empty() && work.empty() && marks.empty() && energy.empty() && sources.empty(); }
  void clear();
};

/// Version of the packets; all ranks of a run have to agree.
inline constexpr std::uint16_t packet_version = 3;

/// Replaces `out` by the packet as bytes, in the byte order of this machine (the reader checks it).
void encode(const LedgerPacket& packet, std::vector<std::byte>& out);

/// Replaces `out` by the packet in `bytes` and returns an empty string; or says what is wrong with the bytes (too
/// short, another version, values out of range) and leaves `out` empty. Any bytes are safe to hand in.
std::string decode(std::span<const std::byte> bytes, LedgerPacket& out);

}  // namespace blocktrain::trainer
