#include "trainer/plan/network.hpp"

#include <algorithm>
#include <utility>

#include "blocks/architectures/architectures.hpp"
#include "blocks/objectives/objectives.hpp"
#include "kernels/cpu/cpu_facts.hpp"

namespace blocktrain::trainer {
namespace {

blocks::Partition partition(Partition p) {
  switch (p) {
    case Partition::equal_probability:
      return blocks::Partition::equal_probability;
    case Partition::uniform:
      return blocks::Partition::uniform;
    case Partition::uniform_log:
      return blocks::Partition::uniform_log;
  }
  return blocks::Partition::equal_probability;
}

blocks::NoiseSampling sampling(NoiseSampling s) {
  switch (s) {
    case NoiseSampling::lognormal:
      return blocks::NoiseSampling::lognormal;
    case NoiseSampling::uniform_log:
      return blocks::NoiseSampling::uniform_log;
    case NoiseSampling::partition:
      return blocks::NoiseSampling::partition;
  }
  return blocks::NoiseSampling::lognormal;
}

/// What the config says of a network of architecture `dit`, and how a device wants it computed.
blocks::DitConfig dit_config(const Config& config, const blocks::SampleLayout& data) {
  blocks::DitConfig d;
  d.patch = config.model.patch;
  d.width = config.model.width;
  d.heads = config.model.heads;
  d.mlp_ratio = config.model.mlp_ratio;
  d.label_dropout = config.model.label_dropout;
  d.sigma_data = config.noise.sigma_data;
  d = blocks::dit_for(d, data);
  const std::int64_t head_width = d.width / d.heads;
  if (!on_gpu(config) && !kernels::cpu_attention_serves(d.tokens(), head_width)) {
    throw InputError("model.width, model.heads: found heads of " + std::to_string(head_width) + " numbers for " +
                     std::to_string(d.tokens()) + " tokens; accepted on a CPU: heads of up to " +
                     std::to_string(kernels::cpu_attention_widest_head()) + ". Choose more heads");
  }
  if (config.parallel.activation_checkpointing == ActivationCheckpointing::layer)
    d.checkpointing = blocks::ActivationCheckpointing::layer;
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

blocks::NoiseSchedule noise_schedule(const Config& config) {
  blocks::NoiseSettings s;
  s.partition = partition(config.noise.partition);
  s.sigma_min = config.noise.sigma_min;
  s.sigma_max = config.noise.sigma_max;
  s.p_mean = config.noise.p_mean;
  s.p_std = config.noise.p_std;
  s.overlap = config.noise.overlap;
  return {s, trained_blocks(config)};
}

kernels::SigmaInterval training_interval(const Config& config, const blocks::NoiseSchedule& schedule, int block) {
  return schedule.training_interval(block, sampling(config.noise.sampling), config.noise.sigma_max_fraction);
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
  const blocks::Architecture& architecture = *blocks::find_architecture("dit");
  const blocks::ObjectiveEntry& objective = *blocks::find_objective(architecture.objective);
  blocks::ObjectiveSettings settings;
  settings.gaussian.sigma_data = config.noise.sigma_data;
  settings.gaussian.weighting = loss_weighting(config.objective.weighting);
  blocks::ParameterLayout parameters;
  auto network = architecture.make({dit_config(config, data)}, data, place, parameters);
  auto trained_for = objective.make(settings, data, place, parameters);
  return std::make_unique<blocks::Block>(place, std::move(network), std::move(trained_for), std::move(parameters));
}

blocks::SamplerKind sampler_kind(SamplerKind kind) {
  switch (kind) {
    case SamplerKind::euler:
      return blocks::SamplerKind::euler;
    case SamplerKind::heun:
      return blocks::SamplerKind::heun;
    case SamplerKind::ancestral:
      return blocks::SamplerKind::ancestral;
  }
  return blocks::SamplerKind::euler;
}

kernels::LossWeighting loss_weighting(Weighting weighting) {
  return weighting == Weighting::none ? kernels::LossWeighting::none : kernels::LossWeighting::edm;
}

}  // namespace blocktrain::trainer
