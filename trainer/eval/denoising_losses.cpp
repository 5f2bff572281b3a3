#include "trainer/eval/denoising_losses.hpp"

#include <algorithm>
#include <cmath>
#include <span>

#include "kernels/error.hpp"
#include "trainer/eval/heldout_losses.hpp"
#include "trainer/plan/network.hpp"

namespace blocktrain::trainer {
namespace {

constexpr int grid_levels = 16;
constexpr int draws_per_sample = 4;
/// Steps that key the noise: levels count from 0, draws from here.
constexpr std::uint32_t first_draw = 1U << 20;

struct Sums {
  double loss = 0, mse = 0;
};

}  // namespace

std::vector<ComparedLevel> compared_levels(const blocks::NoiseSchedule& partition) {
  std::vector<ComparedLevel> levels;
  for (const double sigma : partition.sampling_edges(grid_levels - 1)) levels.push_back({sigma, 0, false});
  for (int b = 1; b < partition.count(); ++b) {
    const double edge = partition.edges()[static_cast<std::size_t>(b)];
    const auto same = std::find_if(levels.begin(), levels.end(), [edge](const ComparedLevel& l) {
      return std::abs(l.sigma - edge) <= 1e-9 * edge;  // but for rounding
    });
    if (same != levels.end()) levels.erase(same);
    levels.push_back({edge, 0, true});
  }
  std::sort(levels.begin(), levels.end(),
            [](const ComparedLevel& a, const ComparedLevel& b) { return a.sigma > b.sigma; });
  for (ComparedLevel& l : levels) l.block = partition.block_of(l.sigma);
  return levels;
}

blocks::NoiseSchedule compared_partition(const Config& config) {
  blocks::NoiseSettings settings = noise_schedule(config).settings();
  settings.overlap = 0;
  return {settings, config.blocks.count};
}

DenoisingLosses measure_denoising(TrainedNetwork& network, const Samples& data, const Config& config,
                                  std::int64_t samples, const ReportProgress& report) {
  const blocks::NoiseSchedule partition = compared_partition(config);
  BLOCKTRAIN_EXPECTS(network.blocks() == 1 || network.blocks() == partition.count());
  HeldoutLosses heldout(network, data, samples, config.seed);
  const auto owner = [&](int b) { return network.blocks() == 1 ? 0 : b; };

  DenoisingLosses out;
  out.samples = heldout.count();
  out.draws_per_sample = draws_per_sample;
  for (const ComparedLevel& level : compared_levels(partition)) out.levels.push_back({level, 0, 0});
  const auto levels = static_cast<std::int64_t>(out.levels.size());
  const auto sum = [&heldout](int b, const kernels::SigmaInterval& interval, std::uint32_t stream, std::uint32_t step) {
    Sums sums;
    heldout.evaluate(b, interval, stream, step, [&](std::span<const float> loss, std::span<const float> mse) {
      for (const float l : loss) sums.loss += l;
      for (const float m : mse) sums.mse += m;
    });
    return sums;
  };
  // One piece per level, then one per draw of an interval.
  const auto piece = [&](std::int64_t number) {
    if (number < levels) {
      const LevelLoss& level = out.levels[static_cast<std::size_t>(number)];
      return to_bytes(
          sum(owner(level.block), blocks::single_level(level.sigma), 0, static_cast<std::uint32_t>(number)));
    }
    const auto draw = static_cast<std::uint32_t>(number - levels);
    const int b = static_cast<int>(draw) / draws_per_sample;
    return to_bytes(
        sum(owner(b), training_interval(config, partition, b), static_cast<std::uint32_t>(b), first_draw + draw));
  };
  const auto results = network.ranks().run(levels + partition.count() * draws_per_sample, piece, report);
  if (results.empty()) return out;  // rank 0 has them

  const auto n = static_cast<double>(heldout.count());
  auto result = results.begin();
  for (LevelLoss& level : out.levels) {
    const Sums sums = from_bytes<Sums>(*result++);
    level.loss = sums.loss / n;
    level.mse = sums.mse / n;
  }
  for (int b = 0; b < partition.count(); ++b) {
    IntervalLoss interval{b, partition.owned(b).lo, partition.owned(b).hi, 0, 0};
    for (int draw = 0; draw < draws_per_sample; ++draw) {
      const Sums sums = from_bytes<Sums>(*result++);
      interval.loss += sums.loss / (n * draws_per_sample);
      interval.mse += sums.mse / (n * draws_per_sample);
    }
    out.loss += interval.loss / partition.count();
    out.mse += interval.mse / partition.count();
    out.intervals.push_back(interval);
  }
  return out;
}

}  // namespace blocktrain::trainer
