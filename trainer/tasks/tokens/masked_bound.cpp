#include "trainer/tasks/tokens/masked_bound.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>

#include "blocks/noise/mask_levels.hpp"
#include "kernels/error.hpp"
#include "trainer/eval/denoising_losses.hpp"
#include "trainer/eval/heldout_losses.hpp"
#include "trainer/plan/network.hpp"

namespace blocktrain::trainer {
namespace {

constexpr std::int64_t grid_levels = 16;
/// Steps that key the masks: levels count from 0, draws from here.
constexpr std::uint32_t first_draw = 1U << 20;

/// Numbers of masked tokens at which networks are compared: `grid_levels` at equal distances up to all, or every one.
std::vector<std::int64_t> compared_masks(std::int64_t tokens) {
  const int steps = static_cast<int>(std::min(tokens, grid_levels));
  std::vector<std::int64_t> out;
  for (int i = 0; i < steps; ++i) out.push_back(blocks::mask_counts(tokens, i, steps).most());
  return out;
}

/// All draws of which are `masked` of so many tokens.
kernels::SigmaInterval single_number(std::int64_t masked, std::int64_t tokens) {
  kernels::SigmaInterval interval;
  interval.lo = static_cast<double>(masked - 1) / static_cast<double>(tokens);
  interval.hi = static_cast<double>(masked) / static_cast<double>(tokens);
  return interval;
}

EvaluationRanks::Bytes bytes_of(const std::vector<float>& losses) {
  EvaluationRanks::Bytes bytes(losses.size() * sizeof(float));
  std::memcpy(bytes.data(), losses.data(), bytes.size());
  return bytes;
}

std::vector<float> losses_of(const EvaluationRanks::Bytes& bytes) {
  std::vector<float> losses(bytes.size() / sizeof(float));
  std::memcpy(losses.data(), bytes.data(), bytes.size());
  return losses;
}

}  // namespace

MaskedBound measure_masked_bound(TrainedNetwork& network, const Samples& data, const Config& config,
                                 std::int64_t windows, int draws, const ReportProgress& report) {
  const blocks::NoiseSchedule partition = compared_partition(config);
  const std::int64_t tokens = partition.settings().masked_tokens;
  BLOCKTRAIN_EXPECTS(tokens >= 1 && draws >= 1);
  BLOCKTRAIN_EXPECTS(network.blocks() == 1 || network.blocks() == partition.count());
  HeldoutLosses heldout(network, data, windows, config.seed);
  const auto owner = [&](int b) { return network.blocks() == 1 ? 0 : b; };

  MaskedBound out;
  out.windows = heldout.count();
  out.draws_per_window = draws;
  for (const std::int64_t m : compared_masks(tokens)) {
    out.levels.push_back({m, partition.block_of(static_cast<double>(m) / static_cast<double>(tokens)), 0});
  }
  for (int b = 0; b < partition.count(); ++b) {
    const blocks::MaskCounts own = blocks::mask_counts(tokens, b, partition.count());
    out.intervals.push_back({b, own.lo, own.most(), 0});
  }
  const auto levels = static_cast<std::int64_t>(out.levels.size());

  // One piece per level, then one per draw of an interval: the losses of all windows.
  const auto piece = [&](std::int64_t number) {
    std::vector<float> losses;
    const auto take = [&](std::span<const float> loss, std::span<const float>) {
      losses.insert(losses.end(), loss.begin(), loss.end());
    };
    if (number < levels) {
      const MaskedLevel& level = out.levels[static_cast<std::size_t>(number)];
      heldout.evaluate(owner(level.block), single_number(level.masked, tokens), 0, static_cast<std::uint32_t>(number),
                       take);
      return bytes_of(losses);
    }
    const std::int64_t draw = number - levels;
    const int b = static_cast<int>(draw / draws);
    heldout.evaluate(owner(b), training_interval(config, partition, b), static_cast<std::uint32_t>(b),
                     first_draw + static_cast<std::uint32_t>(draw), take);
    return bytes_of(losses);
  };
  const auto results =
      network.ranks().run(levels + static_cast<std::int64_t>(partition.count()) * draws, piece, report);
  if (results.empty()) return out;  // rank 0 has them

  const auto n = static_cast<double>(heldout.count());
  auto result = results.begin();
  for (MaskedLevel& level : out.levels) {
    for (const float loss : losses_of(*result++)) level.loss += loss / n;
  }
  std::vector<double> bound(static_cast<std::size_t>(heldout.count()));  // of each window
  for (MaskedInterval& interval : out.intervals) {
    const double share = static_cast<double>(interval.masked_hi - interval.masked_lo) / static_cast<double>(tokens);
    for (int draw = 0; draw < draws; ++draw) {
      const std::vector<float> losses = losses_of(*result++);
      for (std::size_t i = 0; i < losses.size(); ++i) {
        interval.loss += losses[i] / (n * draws);
        bound[i] += share * losses[i] / draws;
      }
    }
  }
  for (const double b : bound) out.nats_per_token += b / n;
  double squares = 0;
  for (const double b : bound) squares += (b - out.nats_per_token) * (b - out.nats_per_token);
  out.standard_error = bound.size() > 1 ? std::sqrt(squares / (n - 1) / n) : std::nan("");
  return out;
}

}  // namespace blocktrain::trainer
