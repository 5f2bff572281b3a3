#pragma once
/// RUN/ledger.jsonl: what a run did and what it cost.
///
/// Format "blocktrain-ledger/2.0". JSON Lines, UTF-8, one object per line, written by one process with one write() per
/// row. A last line without '\n' was torn by a crash and is cut when the run is resumed. Readers skip row types and
/// fields that they do not know (a newer minor version adds them) and refuse another major version. Every row has
/// `type`; `time` is seconds since 1970. Numbers that are not finite are null, and `not_finite` lists their names.
/// Joules that were not measured are null, never 0. "By source" is {"gpu":..,"cpu":..,"dram":..}, "by purpose" is
/// {"inter_block":..,"replica":..,"control":..}: bytes of payload handed to communicators. Blocks, steps, ranks
/// and hosts count from 0; step s is update number s, a checkpoint at step S holds updates 0..S-1.
///
/// A step is told by two rows. What differs from step to step is in its `step` row, of less than 300 bytes; all else is
/// in a `change` row of its block, which holds for every step row of the block behind it up to the next change row of
/// the block, or to the end of the session. Both have all of their keys, always: what a step row lacks is in the change
/// row, and what is null in either of them is null. The writer puts a change row before the first step row of a block
/// in a session and wherever a value differs. Its `step` is that of the step row behind it, so that within a ledger
/// both the order of the lines and the steps say which change row a step row belongs to; recovery keeps it so
/// (recovery.hpp).
///
/// run_start   First row of every session (a run that was resumed n times has n+1): format (of the rows up to the next
///             run_start), version (of the program), time,
///             config (the resolved config as an object) or config_text (as YAML), ranks, blocks, transport,
///             training, hosts: [{hostname, cpu, cores, ranks, threads, memory_bytes}],
///             facts (more texts by name; device: "cpu", or the names of the GPUs).
/// sensor      host, device, source, available, sensor, reason, update_seconds (period at which the counter moves, as
///             measured at the start; null: not known), update_reason (why it is not known, else null). One per source
///             and host at the start, for GPUs one per board, and again when one stops.
/// change      What the step rows of a block have in common, each value as of one step: block, step (the first that it
///             holds for), time, tokens, samples, sigma: [lo, hi] (null: no noise, or masks), masked: [lo,
///             hi] (shares of masked tokens; where noise is masks alone), joules_estimated (true: the joules
///             of the step rows are shares by busy time, energy/apportioner.hpp; false: there are none), joules_reason
///             (by source: why joules are null in the step rows; null: they are not), bytes_sent: {inter_block,
///             replica}, memory: {planned, measured, runtime, device_runtime} (bytes of the replica with the most,
///             null: not known, and no GPU for the last: arenas, host memory of the process besides those there, memory
///             of its GPU besides those there; the last two are the most that was measured since the session began or
///             the block came to these ranks) with device_runtime_scope ("process": of this process alone; "board": of
///             all that is on the GPU, a bound from above; null with device_runtime), ranks.
/// step        One per block and step, in step order within a block, when all replicas have reported: block, step,
///             time, loss (mean weighted), unweighted (mean unweighted), learning_rate, gradient_norm, seconds (of the
///             slowest replica), joules (by source), bytes_sent: {control}. Reals but `time` have 7 significant digits;
///             what rounding takes from a step's joules, the next step row of the block has. Over replicas tokens,
///             samples, joules and bytes add up; loss and unweighted are weighted by samples.
/// energy      What a sensor measured: host, device, source, joules, seconds, begin_ns and end_ns (clock of the
///             host, CLOCK_MONOTONIC), update_seconds (as in the sensor row), error_joules (what joules may be off by:
///             the counter lags by up to update_seconds at each end of the interval; null: not known). Joules of step
///             rows are shares of these.
/// eval        block (null: the assembled network), step, time, samples, seconds, metrics: {name: number}.
/// failed      block, step, rank, time, reason: the block stopped before update `step`; or its rank was given up, and
///             `step` of its updates were heard of.
/// checkpoint  block, step, time, file, sha256, bytes, seconds.
/// lost        Written by recovery, see recovery.hpp: rows of steps that a resumed run repeats were moved to
///             ledger.lost.jsonl, this row keeps what they cost: time, blocks: [{block, from, to (the last), steps,
///             tokens, samples, seconds, joules, joules_unmeasured_steps, bytes_sent}], lost_file, lost_file_bytes (its
///             size after the move).
/// resume      time, steps: the step from which each block goes on, by block; note.
/// run_end     status ("finished": every block has budget.steps; "budget_spent": another budget ended the run;
///             "interrupted"; "failed"), time, message (which budget and what of the run has no step; or what failed),
///             seconds, steps (by block), tokens,
///             distinct_tokens, joules: {measured, attributed (to steps), evaluation, checkpoint, idle, unattributed}
///             (each by source; the last five sum to the first), dollars (of the measured joules;
///             null with dollars_reason), bytes_sent (by purpose, of the steps), communicator_bytes (by purpose,
///             whole session; null: not known), incomplete_steps (not reported by all replicas). All of this session
///             alone.
///
/// Versions. A ledger begun by an older program and resumed by this one has both: the rows behind a run_start are of
/// its `format`. LedgerReader takes 1.x and 2.x.
///
/// 2.0         Change rows; seven digits; `mse` is called `unweighted`, in eval rows heldout_mse heldout_unweighted;
///             status budget_spent; communicator_bytes may be null, where 1.x leaves them out.
/// 1.x         No change rows: a step row has the keys of both, with all purposes in bytes_sent, and reals in full
///             length; memory's runtime and device_runtime are as measured about a second before. 1.1 adds
///             update_seconds and update_reason to sensor rows, update_seconds and error_joules to energy rows,
///             evaluation and checkpoint to the joules of run_end (in 1.0 those joules are part of idle). 1.2 adds
///             device_runtime and device_runtime_scope; before, runtime of a rank on a GPU lacked its arenas there.

#include <cstdint>
#include <limits>
#include <map>
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

inline constexpr std::string_view ledger_format = "blocktrain-ledger/2.0";
inline constexpr int ledger_major_version = 2, oldest_ledger_major_version = 1;
inline constexpr std::string_view ledger_file_name = "ledger.jsonl";
inline constexpr std::string_view lost_file_name = "ledger.lost.jsonl";

/// DIRECTORY/ledger.jsonl.
std::string ledger_path(const std::string& directory);

struct HostFacts {
  std::string hostname;
  std::string cpu;             ///< model name
  int cores = 0;               ///< that this process may use
  int ranks = 0, threads = 0;  ///< ranks on this host, compute threads per rank
  std::int64_t memory_bytes = 0;
  std::string threads_reason;  ///< why so many, for the terminal
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

/// What a step row and its change row say together; NaN in joules means null, with a reason.
struct StepRow {
  int block = 0;
  std::int64_t step = 0;
  double time = 0;
  std::int64_t tokens = 0, samples = 0;
  double loss = 0, unweighted = 0, level_lo = 0, level_hi = 0, learning_rate = 0, gradient_norm = 0, seconds = 0;
  BySource joules{};
  std::array<std::string, energy_sources> joules_reason;
  ByPurpose bytes_sent{};
  std::int64_t memory_planned = -1, memory_measured = -1, memory_runtime = -1;  ///< -1: null
  std::int64_t memory_device_runtime = -1;                                      ///< -1: null
  DeviceMemoryScope memory_scope = DeviceMemoryScope::unknown;                  ///< of memory_device_runtime
  bool masks = false;                                                           ///< the levels are no sigma
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
  std::string status;  ///< "finished", "budget_spent", "interrupted" or "failed"
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
  /// With a change row ahead where this session has none of the block yet, or something differs from the last.
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
  void change(const StepRow& step);

  File file_;
  JsonRow row_;
  std::map<int, StepRow> changes_;  ///< by block: what the last change row of the session says
};

/// As a reader finds a real of a step row: with its 7 significant digits.
double as_in_step_row(double value);

/// Fields shared by rows of several writers.
void add_by_purpose(JsonRow& row, std::string_view name, const ByPurpose& values);
/// NaN is null here without being listed in not_finite: it was not measured.
void add_by_source(JsonRow& row, std::string_view name, const BySource& values);

}  // namespace blocktrain::trainer
