#pragma once
/// RUN/ledger.jsonl: what a run did and what it cost.
///
/// Format "blocktrain-ledger/1.2". JSON Lines, UTF-8, one object per line, written by one process with one write() per
/// row. A last line without '\n' was torn by a crash and is cut when the run is resumed. Readers skip row types and
/// fields that they do not know (a newer minor version adds them) and refuse another major version. Every row has
/// `type`; `time` is seconds since 1970. Numbers that are not finite are null, and `not_finite` lists their names.
/// Joules that were not measured are null, never 0. "By source" is {"gpu":..,"cpu":..,"dram":..}, "by purpose" is
/// {"inter_block":..,"replica":..,"control":..}: bytes of payload handed to communicators. Blocks, steps, ranks
/// and hosts count from 0; step s is update number s, a checkpoint at step S holds updates 0..S-1.
///
/// Versions: 1.1 adds update_seconds and update_reason to sensor rows, update_seconds and error_joules to energy rows,
/// evaluation and checkpoint to the joules of run_end (in 1.0 those joules are part of idle). 1.2 adds device_runtime
/// and device_runtime_scope to the memory of step rows; before, runtime of a rank on a GPU lacked its arenas there.
///
/// run_start   First row of every session (a run that was resumed n times has n+1): format, version (of the program),
/// time,
///             config (the resolved config as an object) or config_text (as YAML), ranks, blocks, transport,
///             training, hosts: [{hostname, cpu, cores, ranks, threads, memory_bytes}],
///             facts (more texts by name).
/// sensor      host, device, source, available, sensor, reason, update_seconds (period at which the counter moves, as
///             measured at the start; null: not known), update_reason (why it is not known, else null). One per source
///             and host at the start, for GPUs one per board, and again when one stops.
/// step        One per block and step, in step order within a block, when all replicas have reported: block, step,
///             time, tokens, samples, loss (mean weighted), mse (mean unweighted), sigma: [lo, hi], learning_rate,
///             gradient_norm, seconds (of the slowest replica), joules (by source), joules_estimated (true: shares by
///             busy time, energy/apportioner.hpp), joules_reason (by source: why there are none, else null), bytes_sent
///             (by purpose), memory: {planned, measured, runtime, device_runtime} (bytes of the replica with the most,
///             null: not known, and no GPU for the last: arenas, host memory of the process besides those there, memory
///             of its GPU besides those there) with device_runtime_scope ("process": of this process alone; "board":
///             of all that is on the GPU, a bound from above; null with device_runtime), ranks. Over replicas tokens,
///             samples, joules and bytes add up; loss and mse are weighted by samples.
/// energy      What a sensor measured: host, device, source, joules, seconds, begin_ns and end_ns (clock of the
///             host, CLOCK_MONOTONIC), update_seconds (as in the sensor row), error_joules (what joules may be off by:
///             the counter lags by up to update_seconds at each end of the interval; null: not known). Joules of step
///             rows are shares of these.
/// eval        block (null: the assembled network), step, time, samples, seconds, metrics: {name: number}.
/// failed      block, step, rank, time, reason: the block stopped before update `step`.
/// checkpoint  block, step, time, file, sha256, bytes, seconds.
/// lost        Written by recovery, see recovery.hpp: rows of steps that a resumed run repeats were moved to
///             ledger.lost.jsonl, this row keeps what they cost: time, blocks: [{block, from, to (the last), steps,
///             tokens, samples, seconds, joules, joules_unmeasured_steps, bytes_sent}], lost_file, lost_file_bytes (its
///             size after the move).
/// resume      time, steps: the step from which each block goes on, by block; note.
/// run_end     status ("finished", "interrupted", "failed"), time, message, seconds, steps (by block), tokens,
///             distinct_tokens, joules: {measured, attributed (to steps), evaluation, checkpoint, idle, unattributed}
///             (each by source; the last five sum to the first), dollars (of the measured joules;
///             null with dollars_reason), bytes_sent (by purpose, of the step rows), communicator_bytes (by purpose,
///             whole session), incomplete_steps (not reported by all replicas). All of this session alone.

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "trainer/ledger/energy/apportioner.hpp"
#include "trainer/ledger/file.hpp"
#include "trainer/ledger/json_row.hpp"
#include "trainer/ledger/records.hpp"

namespace blocktrain::trainer {

inline constexpr std::string_view ledger_format = "blocktrain-ledger/1.2";
inline constexpr int ledger_major_version = 1;
inline constexpr std::string_view ledger_file_name = "ledger.jsonl";
inline constexpr std::string_view lost_file_name = "ledger.lost.jsonl";

/// DIRECTORY/ledger.jsonl.
std::string ledger_path(const std::string& directory);

struct HostFacts {
  std::string hostname;
  std::string cpu;             ///< model name
  int cores = 0;               ///< that this process may use
  int ranks = 0, threads = 0;  ///< ranks on this host, compute threads per rank
  std::string threads_reason;  ///< why so many, for the terminal
  std::int64_t memory_bytes = 0;
};
/// Hostname, CPU model, usable cores and memory of this machine; what cannot be found out is "" or 0.
HostFacts this_host();

struct RunStart {
  std::string version;  ///< of the program
  std::string config;   ///< resolved config: a JSON object, or any other text (YAML), which then goes to config_text
  int ranks = 1, blocks = 1;
  std::string transport, training;
  std::vector<HostFacts> hosts;
  std::vector<std::pair<std::string, std::string>> extra;  ///< more facts by name, as texts
};

/// A step row; NaN in joules means null, with a reason.
struct StepRow {
  int block = 0;
  std::int64_t step = 0;
  double time = 0;
  std::int64_t tokens = 0, samples = 0;
  double loss = 0, mse = 0, sigma_lo = 0, sigma_hi = 0, learning_rate = 0, gradient_norm = 0, seconds = 0;
  BySource joules{};
  std::array<std::string, energy_sources> joules_reason;
  ByPurpose bytes_sent{};
  std::int64_t memory_planned = -1, memory_measured = -1, memory_runtime = -1;  ///< -1: null
  std::int64_t memory_device_runtime = -1;                                      ///< -1: null
  DeviceMemoryScope memory_scope = DeviceMemoryScope::unknown;                  ///< of memory_device_runtime
  std::vector<int> ranks;
};

struct EvalRow {
  std::optional<int> block;  ///< none: the assembled network
  std::int64_t step = 0, samples = 0;
  double seconds = 0;
  std::vector<std::pair<std::string, double>> metrics;
};

struct CheckpointRow {
  int block = 0;
  std::int64_t step = 0;
  std::string file, sha256;
  std::int64_t bytes = 0;
  double seconds = 0;
};

struct EnergySums {
  std::array<bool, energy_sources> measured_at_all{};
  BySource measured{};
  BySource attributed{};  ///< to steps
  BySource evaluation{}, checkpoint{}, idle{}, unattributed{};
};

struct RunEnd {
  std::string status;  ///< "finished", "interrupted" or "failed"
  std::string message;
  double seconds = 0;
  std::vector<std::int64_t> steps;  ///< by block
  std::int64_t tokens = 0;
  std::int64_t distinct_tokens = 0;  ///< different ones of the data set that were seen; all blocks see the same
  EnergySums energy;
  std::array<std::string, energy_sources> energy_reason;  ///< of sources that were not measured, or only in part
  double price_usd_per_kwh = 0;
  ByPurpose bytes_sent{};
  std::optional<ByPurpose> communicator_bytes;
  std::int64_t incomplete_steps = 0;
};

/// Joules at energy.price_usd_per_kwh, in dollars.
constexpr double dollars(double joules, double price_usd_per_kwh) { return joules / 3.6e6 * price_usd_per_kwh; }

/// Writes rows. One thread at a time. Every call throws RunError when the disk refuses; the file never keeps a
/// half-written row then. Rows are on the disk only after sync().
class LedgerWriter {
 public:
  /// Opens `directory`/ledger.jsonl to append, creates it if need be, and locks it against a second run (InputError).
  /// Throws RunError when its last line is torn: recover_ledger() comes first.
  explicit LedgerWriter(const std::string& directory);

  void run_start(const RunStart& start);
  void sensor(const SourceStatus& status);
  void step(const StepRow& row);
  void energy(const EnergyRecord& record);
  void eval(const EvalRow& row);
  void failed(int block, std::int64_t step, int rank, std::string_view reason);
  void checkpoint(const CheckpointRow& row);
  void resume(const std::vector<std::int64_t>& steps, std::string_view note);
  void run_end(const RunEnd& end);

  /// Returns when all rows are on the disk.
  void sync();

 private:
  void begin(std::string_view type);
  void write();

  File file_;
  JsonRow row_;
};

/// Fields shared by rows of several writers.
void add_by_purpose(JsonRow& row, std::string_view name, const ByPurpose& values);
/// NaN is null here without being listed in not_finite: it was not measured.
void add_by_source(JsonRow& row, std::string_view name, const BySource& values);

}  // namespace blocktrain::trainer
