#include "trainer/plan/network.hpp"

#include <algorithm>
#include <utility>

#include "blocks/architectures/architectures.hpp"
#include "blocks/architectures/dit_options.hpp"
#include "blocks/objectives/gaussian_options.hpp"
#include "blocks/objectives/objectives.hpp"
#include "kernels/cpu/cpu_facts.hpp"

namespace blocktrain::trainer {
namespace {

/// What the config says of a network of architecture `dit`, and how a device wants it computed.
blocks::DitConfig dit_config(const Config& config, const blocks::SampleLayout& data) {
  blocks::DitConfig d{config.architecture.as<blocks::DitOptions>()};
  d.width = config.model.width;
  d.heads = config.model.heads;
  d.sigma_data = config.noise.sigma_data;
  d = blocks::dit_for(d, data);
  const std::int64_t head_width = d.width / d.heads;
  if (!on_gpu(config) && !kernels::cpu_attention_serves(d.tokens(), head_width)) {
    throw InputError("model.width, model.heads: found heads of " + std::to_string(head_width) + " numbers for " +
                     std::to_string(d.tokens()) + " tokens; accepted on a CPU: heads of up to " +
                     std::to_string(kernels::cpu_attention_widest_head()) + ". Choose more heads");
  }
  d.checkpointing = config.parallel.activation_checkpointing;
  if (on_gpu(config)) {
    d.keeps_cheap = true;
    // A GPU is the faster the more rows it has at a time, as long as its kernels' scratch (32 MiB) holds two sums for
    // each column of each sample.
    constexpr std::int64_t columns = std::int64_t{4} << 20;
    d.rows_at_once = d.tokens() * std::clamp<std::int64_t>(columns / d.width, 1, 65535);
  }
  return d;
}

}  // namespace

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

blocks::NoiseSchedule noise_schedule(const Config& config) { return {config.noise, trained_blocks(config)}; }

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
  const blocks::ObjectiveEntry& objective = objective_entry_of(architecture);
  blocks::ObjectiveSettings settings;
  settings.gaussian.sigma_data = config.noise.sigma_data;
  settings.gaussian.weighting = config.objective.as<blocks::GaussianOptions>().weighting;
  blocks::ParameterLayout parameters;
  auto network = architecture.make({dit_config(config, data)}, data, place, parameters);
  auto trained_for = objective.make(settings, data, place, parameters);
  return std::make_unique<blocks::Block>(place, std::move(network), std::move(trained_for), std::move(parameters));
}

std::int64_t widest_activation(const Config& config) {
  return config.model.width * config.architecture.as<blocks::DitOptions>().mlp_ratio;
}

}  // namespace blocktrain::trainer
