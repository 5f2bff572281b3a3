#include "trainer/coordinator/summary.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "trainer/ledger/totals.hpp"
#include "trainer/support/output.hpp"
#include "trainer/support/text.hpp"
#include "trainer/support/units.hpp"

namespace blocktrain::trainer {
namespace {

std::size_t largest_rank(const Plan& plan) {
  std::size_t most = 0;
  for (const RankPlan& r : plan.ranks) most = std::max(most, r.bytes.total());
  return most;
}

std::string joules_text(const LedgerTotals& totals, const StepCost& kept, double price) {
  std::string text;
  double all = 0;
  for (std::size_t s = 0; s < energy_sources; ++s) {
    if (!totals.measured_at_all[s]) continue;
    text += fmt::format("{}{} {:.1f} J measured, {:.1f} J of it in kept steps", text.empty() ? "" : "; ",
                        to_string(static_cast<EnergySource>(s)), totals.measured[s], kept.joules[s]);
    all += totals.measured[s];
  }
  if (text.empty()) return "none measured (blocktrain doctor says why)";
  return text + fmt::format("; {:.4g} USD", dollars(all, price));
}

}  // namespace

void print_start(const Config& config, const Plan& plan, const std::string& data_text,
                 const std::vector<HostFacts>& hosts, const std::string& transport, const ResumePlan& resume,
                 const std::string& note) {
  const bool local = plan.training == TrainingMode::block_local;
  show("{}: {} {} on {} {} ({} transport), {} compute {} each ({})\n", config.log.directory, plan.blocks.size(),
       local ? (plan.blocks.size() == 1 ? "block" : "blocks") : "network end to end", plan.world,
       plan.world == 1 ? "rank" : "ranks", transport, hosts.front().threads,
       hosts.front().threads == 1 ? "thread" : "threads", hosts.front().threads_reason);
  show("data: {} ({})\n", config.data.path, data_text);
  show("network: {}, {} layers of width {}, {} parameters; {} steps of batch {} per block\n", config.model.architecture,
       config.model.layers, config.model.width, count(static_cast<double>(plan.parameters())), config.budget.steps,
       plan.batch);
  if (resume.found) {
    std::vector<std::int64_t> steps;
    for (const ResumePoint& p : resume.blocks) steps.push_back(p.step);
    show("resumed at step {} (by block){}\n", join(steps), note.empty() ? "" : "; " + note);
  }
}

void print_end(const Config& config, const Plan& plan, const DataFacts& data, const RunPaths& paths,
               const std::string& status, double first_step_seconds) {
  const LedgerTotals totals = read_totals(paths.ledger());
  const StepCost kept = totals.kept_cost(), lost = totals.lost_cost();
  show("\n{} after {}", status == "budget_spent" ? "ended by a budget" : status, duration(totals.wall_seconds));
  if (first_step_seconds >= 0) show(" (first step after {:.2f} s)", first_step_seconds);
  show("\n  tokens                {} over {} steps{}\n", count(static_cast<double>(kept.tokens)), kept.steps,
       lost.steps > 0 ? fmt::format(", and {} in {} steps lost to interruptions",
                                    count(static_cast<double>(lost.tokens)), lost.steps)
                      : "");
  show("  joules                {}\n", joules_text(totals, kept, config.energy.price_usd_per_kwh));
  show("  bytes between blocks  {}\n", kept.bytes_sent[0]);
  show("  bytes of replicas     {}\n", bytes(static_cast<double>(kept.bytes_sent[1])));
  const auto mine = static_cast<double>(largest_rank(plan));
  if (plan.training == TrainingMode::block_local) {
    const auto one = static_cast<double>(largest_rank(end_to_end_twin(config, data.layout, 1)));
    show("  memory per rank       {} in arenas; end to end takes {} on one rank ({:.2f}x)", bytes(mine), bytes(one),
         mine / one);
    const int world = static_cast<int>(std::min<std::int64_t>(plan.world, plan.batch));
    if (world > 1) {
      const auto many = static_cast<double>(largest_rank(end_to_end_twin(config, data.layout, world)));
      show(", {} on each of {} ({:.2f}x)", bytes(many), world, mine / many);
    }
    show("\n");
  } else {
    show("  memory per rank       {} in arenas\n", bytes(mine));
  }
  show("  run folder            {} (config.yaml, ledger.jsonl, checkpoints/)\n", paths.root);
}

}  // namespace blocktrain::trainer
