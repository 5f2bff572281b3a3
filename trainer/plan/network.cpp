#include "trainer/plan/network.hpp"

#include <algorithm>

#include "blocks/architectures/dit_options.hpp"
#include "blocks/objectives/gaussian_options.hpp"
#include "kernels/cpu/cpu_facts.hpp"

namespace blocktrain::trainer {
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

std::unique_ptr<blocks::Denoiser> make_network(const Config& config, const DataShape& data,
                                               const blocks::BlockPlace& place) {
  const auto& options = config.architecture.as<blocks::DitOptions>();
  if (data.height % options.patch != 0 || data.width % options.patch != 0) {
    throw InputError("model.patch: images of " + std::to_string(data.height) + "x" + std::to_string(data.width) +
                     " pixels cannot be cut into patches of " + std::to_string(options.patch) + "x" +
                     std::to_string(options.patch) + "; choose a patch that divides both sides");
  }
  blocks::DitConfig d{options};
  d.channels = data.channels;
  d.height = data.height;
  d.width_px = data.width;
  d.classes = data.classes;
  d.width = config.model.width;
  d.heads = config.model.heads;
  d.sigma_data = config.noise.sigma_data;
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
  return blocks::make_dit(d, place);
}

std::int64_t widest_activation(const Config& config) {
  return config.model.width * config.architecture.as<blocks::DitOptions>().mlp_ratio;
}

kernels::LossWeighting loss_weighting(const Config& config) {
  return config.objective.as<blocks::GaussianOptions>().weighting;
}

}  // namespace blocktrain::trainer
