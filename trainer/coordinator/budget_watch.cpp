#include "trainer/coordinator/budget_watch.hpp"

#include <fmt/format.h>

#include "trainer/ledger/ledger.hpp"
#include "trainer/support/text.hpp"

namespace blocktrain::trainer {

void BudgetWatch::count_before(const LedgerTotals& totals) {
  StepCost steps = totals.kept_cost();
  steps.add(totals.lost_cost());
  before_ = {};
  before_.tokens = static_cast<double>(steps.tokens);
  for (const double joules : totals.measured) before_.joules += joules;
  before_.seconds = totals.wall_seconds;
}

std::string BudgetWatch::spent(const Spending& session) const {
  const double joules = before_.joules + session.joules;
  const struct {
    const char* name;
    double limit, value;
  } budgets[] = {{"tokens", budget_.tokens, before_.tokens + session.tokens},
                 {"joules", budget_.joules, joules},
                 {"dollars", budget_.dollars, dollars(joules, price_)},
                 {"seconds", budget_.seconds, before_.seconds + session.seconds}};
  for (const auto& budget : budgets) {
    if (budget.limit > 0 && budget.value >= budget.limit)
      return fmt::format("budget.{} is spent ({:.6g} of {:.6g})", budget.name, budget.value, budget.limit);
  }
  return {};
}

std::string progress_of_blocks(const std::vector<std::int64_t>& steps, std::int64_t asked) {
  std::vector<std::string> none;
  for (std::size_t b = 0; b < steps.size(); ++b) {
    if (steps[b] == 0) none.push_back(std::to_string(b));
  }
  std::string text = fmt::format("steps by block: {} of {}", join(steps), asked);
  if (none.empty()) return text;
  if (none.size() == 1) return text + "; block " + none.front() + " has taken no step";
  std::string names = none.front();
  for (std::size_t i = 1; i < none.size(); ++i) names += (i + 1 < none.size() ? ", " : " and ") + none[i];
  return text + "; blocks " + names + " have taken no step";
}

}  // namespace blocktrain::trainer
