#pragma once
/// Makes a ledger agree with the checkpoints from which a run resumes. Rows of steps that will be trained again move to
/// RUN/ledger.lost.jsonl, and one `lost` row keeps what they cost; a torn end is cut. Every row's cost is then either
/// in the ledger's step rows or in a `lost` row, never in both, whenever the machine stops:
///
///  1. the rows are appended to ledger.lost.jsonl, which is synced;
///  2. the ledger without them, and with the `lost` row, is written aside (ledger.jsonl.recovering) and synced;
///  3. it is renamed over the ledger.
///
/// The rename commits. The `lost` row in the ledger holds the size that ledger.lost.jsonl has after the move; what a
/// later recovery finds behind the size of the last `lost` row was never committed, is still in the ledger, and is cut.
///
/// Change rows: those of repeated steps leave the ledger with them, so that the steps of the change rows of a block
/// never decrease along a ledger. In ledger.lost.jsonl the rows of each recovery have their own: before the first step
/// row of a block stands a copy of the change row that held for it, wherever that was. It has rows of 1.x too, which
/// need none; those have `mse`.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "trainer/ledger/totals.hpp"

namespace blocktrain::trainer {

struct LostBlock {
  int block = 0;
  std::int64_t from = 0, to = 0;  ///< first and last step
  StepCost cost;
};

/// Steps [from, to) below the resume step without a row. It should not happen: checkpoints are committed behind their
/// rows.
struct MissingRows {
  int block = 0;
  std::int64_t from = 0, to = 0;
};

struct RecoveryReport {
  bool existed = false;          ///< there was a ledger
  std::uint64_t torn_bytes = 0;  ///< cut off its end
  std::vector<LostBlock> lost;
  std::vector<MissingRows> missing;
  std::int64_t repeated_rows = 0;  ///< rows of a step that has a row already; as unexpected as missing ones
  bool lost_file_shrunk = false;   ///< somebody shortened ledger.lost.jsonl; its sums in the ledger stand

  /// Something is not as blocktrain left it; the user should hear of it.
  bool suspicious() const { return !missing.empty() || repeated_rows > 0 || lost_file_shrunk; }
};

/// What was found and done, in a sentence or more for the log and the `resume` row; "" when nothing was.
std::string describe(const RecoveryReport& report);

/// Called after each step that leaves a trace on the disk, with its name. For tests, which stop there.
using RecoveryHook = std::function<void(const char*)>;

/// Recovers DIRECTORY/ledger.jsonl; `resume_steps` by block: block b goes on with step resume_steps[b]. Nothing happens
/// when there is no ledger. May be called again after a stop at any instant. Throws InputError for a ledger that is
/// damaged (LedgerReader), of more blocks than resume_steps has, or in use; RunError when the disk refuses, with the
/// ledger as it was.
RecoveryReport recover_ledger(const std::string& directory, const std::vector<std::int64_t>& resume_steps,
                              const RecoveryHook& hook = {});

}  // namespace blocktrain::trainer
