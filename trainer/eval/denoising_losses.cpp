#include "trainer/eval/denoising_losses.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include "blocks/batch.hpp"
#include "kernels/error.hpp"
#include "trainer/data/upload_batch.hpp"
#include "trainer/plan/network.hpp"

namespace blocktrain::trainer {
namespace {

using kernels::Arena;
using kernels::DType;
using kernels::Purpose;
using kernels::Tensor;

constexpr int grid_levels = 16;
constexpr int draws_per_sample = 4;
/// Steps that key the noise: levels count from 0, draws from here.
constexpr std::uint32_t first_draw = 1U << 20;

struct Sums {
  double loss = 0, mse = 0;
};

/// A batch on a device with memory of its own.
struct DeviceBatch {
  blocks::Batch input;
  Tensor sigma;
  kernels::StepState* state = nullptr;
  kernels::SigmaInterval* interval = nullptr;

  void bind(Arena& arena, const blocks::SampleLayout& layout, std::int64_t batch) {
    input = blocks::bind_batch(arena, layout, batch);
    sigma = arena.allocate(DType::float32, {batch});
    state = arena.room_for<kernels::StepState>();
    interval = arena.room_for<kernels::SigmaInterval>();
  }
};

/// Held-out samples in host memory, and the evaluation of one block on them. Where the device shares that memory, they
/// are computed with where they are; else batch by batch in a place of their own.
class HeldoutSamples {
 public:
  HeldoutSamples(TrainedNetwork& network, const Samples& data, std::int64_t count, std::uint64_t seed)
      : network_(network), device_(network.device()), apart_(!device_.shares_host_memory()), seed_(seed) {
    const std::int64_t all = data.count(Split::heldout);
    count_ = std::min(count, all);
    const blocks::SampleLayout& layout = network.data().layout;
    const auto bind = [&](Arena& arena) {
      samples_ = blocks::bind_batch(arena, layout, count_);
      if (apart_) {
        losses_ = arena.allocate(DType::float32, {2, network.batch()});
      } else {
        sigma_ = arena.allocate(DType::float32, {network.batch()});
      }
    };
    Arena sizing = Arena::measuring("held-out samples");
    bind(sizing);
    arena_.emplace(device_.staging("held-out samples", sizing.peak()));
    bind(*arena_);
    // Spread over the whole split.
    std::vector<std::int64_t> indices;
    for (std::int64_t i = 0; i < count_; ++i) indices.push_back(i * all / count_);
    data.fill(samples_, Split::heldout, indices, std::nullopt);
    if (!apart_) return;
    device_arena_.emplace(device_.arena("held-out batch", held_out_device_bytes(layout, network.batch())));
    on_device_.bind(*device_arena_, layout, network.batch());
  }

  std::int64_t count() const { return count_; }

  /// Sums over all samples of the losses of block `b`, sigma drawn from `interval` by the numbers of `stream`, noise by
  /// those of `step`.
  Sums evaluate(int b, const kernels::SigmaInterval& interval, std::uint32_t stream, std::uint32_t step) {
    kernels::Ops& ops = device_.ops();
    kernels::StepState state;
    state.step = step;
    if (apart_) {
      device_.upload(on_device_.state, &state, sizeof(state));
      device_.upload(on_device_.interval, &interval, sizeof(interval));
    }
    blocks::EvaluationSettings settings;
    settings.seed = seed_;
    settings.state = apart_ ? on_device_.state : &state;
    Sums sums;
    for (std::int64_t begin = 0; begin < count_; begin += network_.batch()) {
      const std::int64_t n = std::min(network_.batch(), count_ - begin);
      const Tensor sigma = (apart_ ? on_device_.sigma : sigma_).rows(0, n);
      network_.block(b).draw_levels(ops, sigma,
                                    {apart_ ? on_device_.interval : &interval,
                                     {seed_, Purpose::heldout_sigma, stream},
                                     settings.state,
                                     static_cast<std::uint32_t>(begin),
                                     count_});
      const blocks::SampleLosses losses = network_.block(b).evaluate(ops, batch(begin, n), sigma, settings);
      const float* loss = on_host(losses.loss, 0);
      const float* mse = on_host(losses.unweighted, 1);
      for (std::int64_t i = 0; i < n; ++i) {
        sums.loss += loss[i];
        sums.mse += mse[i];
      }
    }
    return sums;
  }

 private:
  /// Samples [begin, begin + n) where the device computes with them.
  blocks::Batch batch(std::int64_t begin, std::int64_t n) {
    const blocks::Batch here = samples_.rows({begin, begin + n});
    if (!apart_) return here;
    blocks::Batch there = on_device_.input.rows({0, n});
    there.first_sample = here.first_sample;
    upload(device_, there, here);
    return there;
  }

  /// The numbers of `losses`, which the device computed, for the host to read; `row` of losses_ holds them.
  const float* on_host(const Tensor& losses, std::int64_t row) {
    if (!apart_) {
      device_.ops().synchronize();
      return losses.as<float>();
    }
    float* const to = losses_.as<float>() + row * losses_.dim(1);
    device_.download(to, losses.data, losses.bytes());
    return to;
  }

  TrainedNetwork& network_;
  kernels::Device& device_;
  bool apart_;  ///< the device has memory of its own
  std::uint64_t seed_;
  std::int64_t count_ = 0;
  std::optional<Arena> arena_, device_arena_;
  blocks::Batch samples_;
  Tensor sigma_, losses_;
  DeviceBatch on_device_;
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

std::size_t held_out_device_bytes(const blocks::SampleLayout& layout, std::int64_t batch) {
  Arena sizing = Arena::measuring("held-out batch");
  DeviceBatch().bind(sizing, layout, batch);
  return sizing.peak();
}

DenoisingLosses measure_denoising(TrainedNetwork& network, const Samples& data, const Config& config,
                                  std::int64_t samples, const ReportProgress& report) {
  const blocks::NoiseSchedule partition = compared_partition(config);
  BLOCKTRAIN_EXPECTS(network.blocks() == 1 || network.blocks() == partition.count());
  HeldoutSamples heldout(network, data, samples, config.seed);
  const auto owner = [&](int b) { return network.blocks() == 1 ? 0 : b; };

  DenoisingLosses out;
  out.samples = heldout.count();
  out.draws_per_sample = draws_per_sample;
  for (const ComparedLevel& level : compared_levels(partition)) out.levels.push_back({level, 0, 0});
  const auto levels = static_cast<std::int64_t>(out.levels.size());
  // One piece per level, then one per draw of an interval.
  const auto piece = [&](std::int64_t number) {
    if (number < levels) {
      const LevelLoss& level = out.levels[static_cast<std::size_t>(number)];
      return to_bytes(heldout.evaluate(owner(level.block), blocks::single_level(level.sigma), 0,
                                       static_cast<std::uint32_t>(number)));
    }
    const auto draw = static_cast<std::uint32_t>(number - levels);
    const int b = static_cast<int>(draw) / draws_per_sample;
    return to_bytes(heldout.evaluate(owner(b), training_interval(config, partition, b), static_cast<std::uint32_t>(b),
                                     first_draw + draw));
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
