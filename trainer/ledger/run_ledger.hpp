#pragma once
/// The coordinator's side of the ledger: takes what the ranks report, waits for energy and for replicas, and writes the
/// rows in order. The coordinator commits a checkpoint at step S of a block only when durable_through(block) >= S - 1.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/ledger/energy/apportioner.hpp"
#include "trainer/ledger/ledger.hpp"

namespace blocktrain::trainer {

struct RunLedgerOptions {
  std::string directory;                 ///< RUN; its ledger has been recovered if the run is resumed
  std::vector<std::int64_t> first_step;  ///< by block: the step with which this session begins
  std::vector<RankPlace> places;         ///< by rank
  /// How long a step waits for its energy. Several times energy.sample_seconds.
  std::chrono::milliseconds patience{30'000};
  double price_usd_per_kwh = 0;
  bool masks = false;  ///< noise levels are shares of masked tokens, not sigma
};

/// What a session's end says besides what the ledger knows itself.
struct SessionEnd {
  std::string status;  ///< "finished", "interrupted" or "failed"
  std::string message;
  double seconds = 0;
  std::int64_t distinct_tokens = 0;
  std::optional<ByPurpose> communicator_bytes;  ///< of all ranks, whole session
};

/// Used by one thread at a time. Calls that write throw RunError when the disk refuses.
class RunLedger {
 public:
  explicit RunLedger(const RunLedgerOptions& options);

  /// First row of the session.
  void start(const RunStart& start);
  /// Behind start() in a resumed run; `note` says what recovery found, see describe(RecoveryReport).
  void resumed(std::string_view note);

  /// A packet of any rank. `now`: monotonic_ns(). Throws RunError when the bytes are no packet.
  void receive(std::span<const std::byte> bytes, std::int64_t now);
  void add(const LedgerPacket& packet, std::int64_t now);
  /// Throws RunError when the step was reported before.
  void add(const StepRecord& record, std::int64_t now);
  /// Work of a rank that is no step, in one order with its steps.
  void add(const WorkRecord& record, std::int64_t now);
  void add(const BusyMark& mark);
  void add(const EnergyRecord& record);
  void add(const SourceStatus& status);
  /// The rank is finished, failed or lost: the energy of others does not wait for its steps.
  void rank_done(int rank);
  /// To be called about once a second: steps whose energy is overdue go on without.
  void tick(std::int64_t now);

  void eval(const EvalRow& row) { writer_.eval(row); }
  void failed(int block, std::int64_t step, int rank, std::string_view reason);
  void checkpoint(const CheckpointRow& row) { writer_.checkpoint(row); }

  /// Last step of `block` whose row, and all before it, are written; first_step - 1 when there are none yet.
  std::int64_t written_through(int block) const;
  /// The same for rows that are on the disk.
  std::int64_t durable_through(int block) const;
  /// Brings all written rows to the disk.
  void sync();

  /// Joules of this session so far. `measured` counts every interval that came in; the rest follows with the rows.
  EnergySums energy() const;
  /// Tokens in this session's step rows, all blocks.
  std::int64_t tokens() const { return tokens_; }

  /// Lets go of everything that waits, writes run_end and syncs. Nothing may be added afterwards.
  void finish(const SessionEnd& end);

 private:
  struct Assembly {  ///< a step of which replicas have reported
    StepRow row;
    int reported = 0, replicas = 1;
    double loss = 0, unweighted = 0;  ///< sums over samples
  };
  /// Memory besides the arenas: the most that was measured. It is measured about once a second, and goes up and down
  /// by a little; each time would be a change row.
  struct Runtime {
    std::vector<int> ranks;  ///< of whom
    std::int64_t host = -1, device = -1;
    DeviceMemoryScope scope = DeviceMemoryScope::unknown;
  };
  struct Block {
    std::int64_t first = 0, next = 0, durable_next = 0;
    BySource rounded_off{};  ///< joules that rounding took from the rows so far; below 0: gave them
    Runtime runtime;
    std::map<std::int64_t, Assembly> waiting;
  };

  void take(const StepRecord& record, const StepEnergy& energy);
  void write_ready(Block& block);
  void write(Block& block, StepRow& row);

  LedgerWriter writer_;
  double price_;
  bool masks_;
  std::vector<Block> blocks_;
  EnergyApportioner apportioner_;
  std::array<std::string, energy_sources> energy_reason_;  ///< of sources that some host or board does not measure
  std::string gpu_unused_;                                 ///< why some host measures no GPU: it uses none
  BySource attributed_{};                                  ///< in step rows
  std::int64_t tokens_ = 0;
  ByPurpose bytes_{};
  LedgerPacket packet_;  // receive() decodes into it
};

}  // namespace blocktrain::trainer
