#include "trainer/ledger/totals.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/error.hpp"

namespace blocktrain::trainer {

namespace {

template <typename Integer>
void accumulate(Integer& sum, Integer value) {
  if (__builtin_add_overflow(sum, value, &sum))
    throw InputError("the ledger's sums leave the range of 64 bits: it was forged");
}

template <typename T>
T& grow(std::vector<T>& items, int index, const T& fill) {
  if (static_cast<std::size_t>(index) >= items.size()) items.resize(static_cast<std::size_t>(index) + 1, fill);
  return items[static_cast<std::size_t>(index)];
}

StepCost sum(const std::vector<StepCost>& costs) {
  StepCost total;
  for (const StepCost& cost : costs) total.add(cost);
  return total;
}

}  // namespace

void StepCost::add(const StepCost& other) {
  accumulate(steps, other.steps);
  accumulate(tokens, other.tokens);
  accumulate(samples, other.samples);
  seconds += other.seconds;
  for (std::size_t i = 0; i < energy_sources; ++i) {
    joules[i] += other.joules[i];
    accumulate(unmeasured_steps[i], other.unmeasured_steps[i]);
  }
  for (std::size_t i = 0; i < bytes_sent.size(); ++i) accumulate(bytes_sent[i], other.bytes_sent[i]);
}

void StepCost::add(const StepRow& row) {
  StepCost one{1, row.tokens, row.samples, row.seconds, row.joules, {}, row.bytes_sent};
  for (std::size_t i = 0; i < energy_sources; ++i) {
    if (std::isfinite(row.joules[i])) continue;
    one.joules[i] = 0;
    one.unmeasured_steps[i] = 1;
  }
  add(one);
}

void StepCost::add(const LedgerRow::Lost& lost) {
  const StepRow& sums = lost.sums;
  StepCost block{lost.count, sums.tokens, sums.samples, sums.seconds, sums.joules, lost.unmeasured, sums.bytes_sent};
  for (double& value : block.joules) value = std::isfinite(value) ? value : 0;
  add(block);
}

StepCost LedgerTotals::kept_cost() const { return sum(blocks); }
StepCost LedgerTotals::lost_cost() const { return sum(lost); }

BySource LedgerTotals::unattributed() const {
  const StepCost kept = kept_cost(), gone = lost_cost();
  BySource rest{};
  for (std::size_t i = 0; i < energy_sources; ++i) {
    const double known = kept.joules[i] + gone.joules[i] + evaluation[i] + checkpoint[i] + idle[i];
    rest[i] = std::max(0.0, measured[i] - known);  // a rounding below nothing
  }
  return rest;
}

LedgerTotals read_totals(const std::string& path) {
  // A ledger with more blocks than this would only serve to exhaust the memory.
  constexpr int most_blocks = 1 << 16;
  LedgerTotals totals;
  LedgerReader reader(path);
  LedgerRow row;
  double session_begin = 0, session_end = 0;
  while (reader.next(row)) {
    ++totals.rows;
    if (row.block >= most_blocks) {
      throw InputError(path + ":" + std::to_string(row.line) + ": block " + std::to_string(row.block) +
                       " is more than the " + std::to_string(most_blocks) + " that a ledger may have");
    }
    if (row.type == "run_start") {
      totals.wall_seconds += session_end - session_begin;
      session_begin = session_end = row.time;
      ++totals.sessions;
      totals.status.clear();
    } else if (row.type != "lost") {  // recovery writes between sessions
      session_end = std::max(session_end, std::isfinite(row.time) ? row.time : 0);
    }
    if (row.type == "step") {
      grow(totals.blocks, row.block, {}).add(row.step);
      std::int64_t& last = grow<std::int64_t>(totals.last_step, row.block, -1);
      last = std::max(last, row.step.step);
    } else if (row.type == "energy") {
      const auto source = static_cast<std::size_t>(row.energy.source);
      totals.measured[source] += row.energy.joules;
      totals.measured_at_all[source] = true;
    } else if (row.type == "lost") {
      for (const LedgerRow::Lost& lost : row.lost) {
        if (lost.block >= most_blocks) throw InputError(path + ":" + std::to_string(row.line) + ": impossible block");
        grow(totals.lost, lost.block, {}).add(lost);
      }
    } else if (row.type == "run_end") {
      totals.status = row.status;
      for (std::size_t i = 0; i < energy_sources; ++i) {
        totals.evaluation[i] += row.evaluation[i];
        totals.checkpoint[i] += row.checkpoint[i];
        totals.idle[i] += row.idle[i];
      }
    }
  }
  totals.wall_seconds += session_end - session_begin;
  totals.torn_bytes = reader.torn_bytes();
  const std::size_t count = std::max(totals.blocks.size(), totals.lost.size());
  totals.blocks.resize(count);
  totals.lost.resize(count);
  totals.last_step.resize(count, -1);
  return totals;
}

void add_lost_fields(JsonRow& row, int block, std::int64_t from, std::int64_t to, const StepCost& cost) {
  row.integer("block", std::int64_t{block});
  row.integer("from", from);
  row.integer("to", to);
  row.integer("steps", cost.steps);
  row.integer("tokens", cost.tokens);
  row.integer("samples", cost.samples);
  row.number("seconds", cost.seconds);
  BySource joules = cost.joules;
  for (std::size_t i = 0; i < energy_sources; ++i) {
    if (cost.unmeasured_steps[i] == cost.steps) joules[i] = std::numeric_limits<double>::quiet_NaN();
  }
  add_by_source(row, "joules", joules);
  row.open_object("joules_unmeasured_steps");
  for (std::size_t i = 0; i < energy_sources; ++i) {
    row.integer(to_string(static_cast<EnergySource>(i)), cost.unmeasured_steps[i]);
  }
  row.close_object();
  add_by_purpose(row, "bytes_sent", cost.bytes_sent);
}

}  // namespace blocktrain::trainer
