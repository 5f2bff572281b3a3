#include "trainer/coordinator/budget_config.hpp"

namespace blocktrain::trainer {

using namespace blocks;  // the words of settings

namespace {

/// A limit of a run: any amount, 0 for none.
NumberValue amount(double& value) { return number(value, 0, 1e30); }

}  // namespace

void BudgetConfig::describe(std::vector<Setting>& out) {
  out.push_back({"budget", "steps", integer(steps, 1, most_steps), "Steps of each block."});
  out.push_back({"budget", "tokens", amount(tokens), "Tokens (targets predicted) of the whole run. 0: no limit."});
  out.push_back({"budget", "joules", amount(joules), "Measured energy of the whole run in joules. 0: no limit."});
  out.push_back({"budget", "dollars", amount(dollars),
                 "Price of that energy in US dollars, by energy.price_usd_per_kwh. 0: no limit."});
  out.push_back({"budget", "seconds", amount(seconds), "Wall-clock time of the whole run in seconds. 0: no limit."});
}

}  // namespace blocktrain::trainer
