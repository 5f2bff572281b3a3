#pragma once
/// Reads a ledger row by row, from any version 1 or 2 of the format (specified in ledger.hpp).

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/ledger/file.hpp"
#include "trainer/ledger/ledger.hpp"

namespace blocktrain::trainer {

/// One row. `text` is the line for readers of more than the fields here.
struct LedgerRow {
  std::string type;
  std::string text;           ///< without '\n'
  std::uint64_t offset = 0;   ///< of the line in the file
  std::uint64_t line = 0;     ///< from 1
  double time = 0;            ///< 0: the row has none
  int block = -1;             ///< of rows that have one; -1: the row has none, or null
  std::int64_t at_step = -1;  ///< `step` of rows that have one
  /// Type "step", with what its change row says; numbers that were null are NaN. Type "change": what it says.
  StepRow step;
  EnergyRecord energy;                ///< type "energy"
  std::uint64_t lost_file_bytes = 0;  ///< type "lost"
  std::string status;                 ///< type "run_end"
  double seconds = 0;                 ///< type "run_end"
  /// Type "run_end": joules of the session that belong to no step; 0 where they are null or the row has none.
  BySource evaluation{}, checkpoint{}, idle{};
  /// Type "lost": costs of the rows that were moved; block, at_step (the first) and sums in `step` of each, with
  /// `count` steps, of which `unmeasured` have no joules of a source.
  struct Lost {
    int block = 0;
    std::int64_t count = 0;
    std::array<std::int64_t, energy_sources> unmeasured{};
    StepRow sums;
  };
  std::vector<Lost> lost;
};

/// Throws InputError naming FILE:LINE when a row is damaged and sound rows follow it, when the file is not a ledger, or
/// when its format has another major version, or when a step row of 2.x has no change row. Damaged rows with nothing
/// sound behind them are the torn end that a crash leaves: reading stops before them.
class LedgerReader {
 public:
  /// `path` of a ledger.jsonl. Throws InputError when there is none.
  explicit LedgerReader(const std::string& path);

  /// The next row; false at the end, or at the torn end.
  bool next(LedgerRow& row);

  /// Bytes of sound rows read so far; after next() returned false, the size that the file should have.
  std::uint64_t sound_bytes() const { return sound_; }
  /// Bytes of the torn end, once next() has returned false.
  std::uint64_t torn_bytes() const { return torn_; }

 private:
  bool next_line(std::string& line, bool& complete);
  void check_nothing_sound_follows(std::uint64_t damaged_line, const std::string& why);
  void check_format(const LedgerRow& row, const std::string& format);
  void join_with_change(LedgerRow& row);

  File file_;
  std::string buffer_;
  std::size_t at_ = 0;            // in buffer_
  std::uint64_t buffer_end_ = 0;  // in the file
  std::uint64_t line_ = 0, sound_ = 0, torn_ = 0;
  bool ended_ = false;
  int major_ = 0;                   // of the session's format; 0: none has begun
  std::map<int, StepRow> changes_;  // by block, of the session
};

}  // namespace blocktrain::trainer
