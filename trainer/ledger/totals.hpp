#pragma once
/// Sums of a whole ledger, across all sessions of a run.

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/ledger/reader.hpp"

namespace blocktrain::trainer {

/// What steps cost together.
struct StepCost {
  std::int64_t steps = 0, tokens = 0, samples = 0;
  double seconds = 0;                                           ///< sum of step times
  BySource joules{};                                            ///< of the steps that have them
  std::array<std::int64_t, energy_sources> unmeasured_steps{};  ///< steps without joules of a source
  ByPurpose bytes_sent{};

  /// These throw InputError when a sum leaves the range of its type, which only a forged ledger can cause.
  void add(const StepRow& row);
  void add(const LedgerRow::Lost& lost);
  void add(const StepCost& other);
};

struct LedgerTotals {
  std::vector<StepCost> blocks;         ///< by block: steps in the ledger, those that made the weights
  std::vector<StepCost> lost;           ///< by block: steps that were repeated after an interruption
  std::vector<std::int64_t> last_step;  ///< by block, -1: none
  /// Joules measured by the sensors, all hosts and sessions:
  /// measured = blocks + lost + evaluation + checkpoint + idle + unattributed().
  BySource measured{};
  BySource evaluation{}, checkpoint{}, idle{};  ///< of the sessions that came to their end: run_end has them
  std::array<bool, energy_sources> measured_at_all{};
  int sessions = 0;
  double wall_seconds = 0;  ///< from the first to the last row of each session, added up
  std::string status;       ///< of the last run_end; "" while the last session has none
  std::uint64_t rows = 0, torn_bytes = 0;

  /// Sums over blocks.
  StepCost kept_cost() const;
  StepCost lost_cost() const;
  /// Joules that belong to nothing known: shares that could not be given to a step, and what a session without run_end
  /// spent besides its steps.
  BySource unattributed() const;
};

/// Streams through the ledger at `path`. Errors as LedgerReader.
LedgerTotals read_totals(const std::string& path);

/// The `lost` fields of one block as part of a row, the opposite of what LedgerReader makes of them.
void add_lost_fields(JsonRow& row, int block, std::int64_t from, std::int64_t to, const StepCost& cost);

}  // namespace blocktrain::trainer
