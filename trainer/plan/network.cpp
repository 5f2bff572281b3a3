#include "trainer/plan/network.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "blocks/architectures/architectures.hpp"
#include "blocks/noise/equal_information.hpp"
#include "blocks/objectives/objectives.hpp"
#include "blocks/parameters.hpp"
#include "kernels/cpu/cpu_facts.hpp"
#include "trainer/config/describe.hpp"

namespace blocktrain::trainer {
namespace {

/// What every network is told, and how the device wants it computed.
blocks::NetworkSettings network_settings(const Config& config) {
  blocks::NetworkSettings s;
  s.width = config.model.width;
  s.heads = config.model.heads;
  s.sigma_data = config.noise.sigma_data;
  s.denoises = trained_objective(config).levels != blocks::Levels::none;
  s.checkpointing = config.parallel.activation_checkpointing;
  if (on_gpu(config)) {
    s.keeps_cheap = true;
    // A GPU is the faster the more rows it has at a time, as long as its kernels' scratch (32 MiB) holds two sums for
    // each column of each sample.
    constexpr std::int64_t columns = std::int64_t{4} << 20;
    s.samples_at_once = std::clamp<std::int64_t>(columns / s.width, 1, 65535);
  }
  return s;
}

void require_attention(const Config& config, const blocks::Network& network) {
  const std::int64_t head_width = config.model.width / config.model.heads, tokens = network.rows_per_sample();
  if (on_gpu(config) || kernels::cpu_attention_serves(tokens, head_width)) return;
  throw InputError("model.width, model.heads: found heads of " + std::to_string(head_width) + " numbers for " +
                   std::to_string(tokens) + " tokens; accepted on a CPU: heads of up to " +
                   std::to_string(kernels::cpu_attention_widest_head()) + ". Choose more heads");
}

}  // namespace

const blocks::ObjectiveEntry& trained_objective(const Config& config) {
  const blocks::Architecture& architecture = architecture_of(config);
  if (config.blocks.training == TrainingMode::block_local || architecture.end_to_end.empty()) {
    return objective_entry_of(architecture);
  }
  const blocks::ObjectiveEntry* twin = blocks::find_objective(architecture.end_to_end);
  if (twin == nullptr) throw std::logic_error("there is no objective " + std::string(architecture.end_to_end));
  return *twin;
}

bool needs_information(const Config& config) {
  return trained_objective(config).levels == blocks::Levels::sigma &&
         config.noise.partition == blocks::Partition::equal_information;
}

std::vector<double> class_information(const Config& config, const blocks::SampleLayout& data,
                                      std::span<const std::int64_t> class_counts) {
  const auto block = make_block(config, data, block_places(config).front());
  const auto& all = block->parameters();
  const auto found = std::ranges::find_if(all, [&](const blocks::Parameter& p) { return p.shared; });
  if (found == all.end() || found->shape.size() != 2) {
    throw InputError(
        "noise.partition: equal_information needs a target that is a class; accepted here: "
        "equal_probability, uniform, uniform_log");
  }
  const std::int64_t classes = found->shape[0], width = found->shape[1];
  const auto there = std::ranges::count_if(class_counts, [](std::int64_t n) { return n > 0; });
  if (classes < 2 || (!class_counts.empty() && there < 2)) {
    throw InputError(
        "data.path: the training data are of one class, so there is nothing to find out; accepted: two or more");
  }
  blocks::Parameter table = *found;
  table.offset = 0;
  std::vector<float> rows(static_cast<std::size_t>(table.size));
  blocks::initialize(kernels::Tensor(rows.data(), kernels::DType::float32, {table.size}), {table}, config.seed);
  const std::vector<double> frequencies(class_counts.begin(), class_counts.end());
  return blocks::information_curve({rows, classes, width, frequencies}, config.noise.sigma_min, config.noise.sigma_max,
                                   config.seed)
      .entropy;
}

int trained_blocks(const Config& config) {
  return config.blocks.training == TrainingMode::end_to_end ? 1 : config.blocks.count;
}

std::vector<blocks::BlockPlace> block_places(const Config& config) {
  const int count = trained_blocks(config);
  std::vector<blocks::BlockPlace> places;
  int first = 0;
  const std::vector<int> split = layers_per_block(config);
  for (int b = 0; b < count; ++b) {
    const bool whole = config.blocks.training == TrainingMode::end_to_end;
    const int layers = whole ? config.model.layers : split[static_cast<std::size_t>(b)];
    places.push_back({b, count, first, layers});
    first += layers;
  }
  return places;
}

blocks::NoiseSchedule noise_schedule(const Config& config) {
  const blocks::Levels levels = trained_objective(config).levels;
  if (levels == blocks::Levels::masked) {
    return blocks::NoiseSchedule::of_masks(context_of(config), trained_blocks(config));
  }
  blocks::NoiseSettings settings = config.noise;
  // Nobody draws from it, but it has a beginning and an end.
  if (levels == blocks::Levels::none) settings.partition = blocks::Partition::uniform_log;
  return {settings, trained_blocks(config)};
}

kernels::SigmaInterval training_interval(const Config& config, const blocks::NoiseSchedule& schedule, int block) {
  return schedule.training_interval(block, config.noise.sampling, config.noise.sigma_max_fraction);
}

std::vector<kernels::SigmaInterval> training_intervals(const Config& config) {
  const blocks::NoiseSchedule schedule = noise_schedule(config);
  std::vector<kernels::SigmaInterval> intervals;
  for (int b = 0; b < schedule.count(); ++b) intervals.push_back(training_interval(config, schedule, b));
  return intervals;
}

std::uint64_t trained_block_seed(const Config& config, int block) {
  return config.blocks.training == TrainingMode::end_to_end ? config.seed : block_seed(config, block);
}

std::unique_ptr<blocks::Block> make_block(const Config& config, const blocks::SampleLayout& data,
                                          const blocks::BlockPlace& place) {
  const blocks::Architecture& architecture = architecture_of(config);
  const blocks::NetworkSettings settings = network_settings(config);
  blocks::ParameterLayout parameters;
  auto network = architecture.make(config.architecture, settings, data, place, parameters);
  require_attention(config, *network);
  auto objective = trained_objective(config).make(config.objective, settings, data, place, parameters);
  return std::make_unique<blocks::Block>(place, std::move(network), std::move(objective), std::move(parameters));
}

std::int64_t widest_activation(const Config& config) {
  return config.model.width * value_of<std::int64_t>(config, "model.mlp_ratio").value_or(1);
}

}  // namespace blocktrain::trainer
