#include "trainer/config/describe.hpp"

#include <algorithm>
#include <stdexcept>

namespace blocktrain::trainer {
namespace {

constexpr Section kSections[] = {
    {"log", "Where a run keeps what it writes.", false},
    {"data", "The samples to learn, and how many at a time.", true},
    {"model", "The whole network; blocks share out its layers.", true},
    {"blocks", "How the network is cut into blocks, and whether they train alone.", true},
    {"noise", "The noise range and each block's part of it (method of DiffusionBlocks and EDM).", true},
    {"objective", "The loss.", true},
    {"optimizer", "AdamW and its learning rate: linear warm-up, then half a cosine.", true},
    {"budget", "When training ends: at the first limit reached.", false},
    {"eval", "How the quality of the network is measured.", false},
    {"checkpoint", "How often a run is saved.", false},
    {"parallel", "Where and how the work is done: ranks, threads, devices, memory. The experiment stays the same.",
     false},
    {"energy", "Where joules are read and what they cost.", false},
};

std::size_t place_of(std::string_view section) {
  if (section.empty()) return 0;
  const auto found =
      std::find_if(std::begin(kSections), std::end(kSections), [&](const Section& s) { return s.name == section; });
  return static_cast<std::size_t>(found - std::begin(kSections)) + 1;
}

}  // namespace

std::vector<Setting> describe(Config& config) {
  const blocks::Architecture& architecture = architecture_of(config);
  std::vector<Setting> all;
  all.reserve(80);
  all.push_back(
      {"", "seed", blocks::SeedValue{&config.seed}, "Seed of the weights, the noise and the order of the data."});
  config.log.describe(all);
  config.data.describe(all);
  config.model.describe(all);
  config.architecture.describe(all);
  config.model.describe_last(all);
  config.blocks.describe(all);
  switch (objective_entry_of(architecture).levels) {
    case blocks::Levels::sigma:
      config.noise.describe(all);
      break;
    case blocks::Levels::masked:
      config.noise.describe_of_masks(all);
      break;
    case blocks::Levels::none:
      break;
  }
  config.objective.describe(all);
  config.optimizer.describe(all);
  config.budget.describe(all);
  config.eval.describe(task_entry_of(architecture).samples, all);
  config.checkpoint.describe(all);
  config.parallel.describe(all);
  config.energy.describe(all);
  config.task.describe(all);
  // Keys of one section may have several owners.
  std::stable_sort(all.begin(), all.end(),
                   [](const Setting& a, const Setting& b) { return place_of(a.section) < place_of(b.section); });
  return all;
}

std::int64_t context_of(const Config& config) {
  const auto context = value_of<std::int64_t>(config, "model.context");
  if (!context) throw std::logic_error("an architecture of tokens has no model.context");
  return *context;
}

std::span<const Section> sections() { return kSections; }

bool part_of_identity(const Setting& setting) {
  const std::size_t place = place_of(setting.section);
  return setting.trains && (place == 0 || place > std::size(kSections) || kSections[place - 1].trains);
}

std::vector<std::string_view> architectures_with(std::string_view section, std::string_view key) {
  std::vector<std::string_view> names;
  for (const blocks::Architecture& a : blocks::architectures()) {
    Config config(a);
    const std::vector<Setting> all = describe(config);
    const bool has_it =
        std::any_of(all.begin(), all.end(), [&](const Setting& s) { return s.section == section && s.key == key; });
    if (has_it) names.push_back(a.name);
  }
  return names;
}

}  // namespace blocktrain::trainer
