#pragma once
/// The budgets besides budget.steps: tokens, joules, dollars, seconds, of all sessions of a run together.

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/config/config.hpp"
#include "trainer/ledger/totals.hpp"

namespace blocktrain::trainer {

struct Spending {
  double tokens = 0;   ///< targets predicted, by all blocks
  double joules = 0;   ///< measured, of all sources
  double seconds = 0;  ///< of wall-clock time
};

class BudgetWatch {
 public:
  BudgetWatch(const BudgetConfig& budget, double price_usd_per_kwh) : budget_(budget), price_(price_usd_per_kwh) {}

  /// What the sessions before this one spent, lost steps included.
  void count_before(const LedgerTotals& totals);

  /// "budget.tokens is spent (5120 of 5000)" for the first budget that has nothing left after `session`; "" where all
  /// have.
  std::string spent(const Spending& session) const;

 private:
  BudgetConfig budget_;
  double price_;
  Spending before_;
};

/// How far the blocks came, by block: "steps by block: 43, 0, 0 of 400; blocks 1 and 2 have taken no step".
std::string progress_of_blocks(const std::vector<std::int64_t>& steps, std::int64_t asked);

}  // namespace blocktrain::trainer
