#include "trainer/config/check.hpp"

#include <string>

#include "trainer/config/describe.hpp"

namespace blocktrain::trainer {
namespace {

/// Between keys of owners that do not know of each other.
void check_work(const Config& c, std::vector<blocks::Conflict>& out) {
  // Times tokens per sample, activations per token and bytes, this still fits into 64 bits.
  constexpr std::int64_t kLargestWork = std::int64_t{1} << 40;
  const std::int64_t work = c.data.batch * c.model.layers * c.model.width;
  if (work <= kLargestWork) return;
  const auto text = [](std::int64_t v) { return std::to_string(v); };
  out.push_back({{"data.batch", "model.layers", "model.width"},
                 "found data.batch " + text(c.data.batch) + " times model.layers " + text(c.model.layers) +
                     " times model.width " + text(c.model.width) + " = " + text(work) + "; accepted: at most " +
                     text(kLargestWork)});
}

/// A block without a level of its own would have nothing to train on.
void check_masks(const Config& c, std::vector<blocks::Conflict>& out) {
  const std::int64_t tokens = context_of(c);
  if (c.blocks.count <= tokens) return;
  out.push_back({{"blocks.count", "model.context"},
                 "found blocks.count " + std::to_string(c.blocks.count) + " with model.context " +
                     std::to_string(tokens) +
                     "; accepted: at most as many blocks as tokens, for each block owns "
                     "numbers of masked tokens"});
}

}  // namespace

std::vector<blocks::Conflict> find_conflicts(const Config& config) {
  Config copy = config;
  const std::vector<Setting> all = describe(copy);
  std::vector<blocks::Conflict> conflicts;
  config.blocks.check(config.model, conflicts);
  config.model.check(conflicts);
  config.architecture.check(all, conflicts);
  config.data.check(conflicts);
  check_work(config, conflicts);
  const blocks::Levels levels = objective_entry_of(architecture_of(config)).levels;
  if (levels == blocks::Levels::sigma) config.noise.check(all, conflicts);
  if (levels == blocks::Levels::masked) check_masks(config, conflicts);
  config.objective.check(all, conflicts);
  config.optimizer.check(conflicts);
  config.parallel.check(conflicts);
  config.task.check(all, conflicts);
  return conflicts;
}

}  // namespace blocktrain::trainer
