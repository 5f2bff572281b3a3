#include "trainer/config/check.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "trainer/config/values.hpp"

namespace blocktrain::trainer {
namespace {

std::string text(std::int64_t v) { return std::to_string(v); }

void check_blocks(const Config& c, std::vector<Conflict>& out) {
  const ModelConfig& m = c.model;
  const BlocksConfig& b = c.blocks;
  if (b.count > m.layers) {
    out.push_back({{"blocks.count", "model.layers"},
                   "found more blocks than layers, blocks.count " + text(b.count) + " with model.layers " +
                       text(m.layers) + "; accepted: at most one block per layer"});
  }
  if (!b.layers.empty()) {
    const std::int64_t sum = std::accumulate(b.layers.begin(), b.layers.end(), std::int64_t{0});
    if (b.layers.size() != static_cast<std::size_t>(b.count)) {
      out.push_back({{"blocks.layers", "blocks.count"},
                     "found blocks.layers of " + std::to_string(b.layers.size()) + " blocks with blocks.count " +
                         text(b.count) + "; accepted: one number per block"});
    }
    if (sum != m.layers) {
      out.push_back({{"blocks.layers", "model.layers"},
                     "found blocks.layers that add up to " + text(sum) + " with model.layers " + text(m.layers) +
                         "; accepted: a list that adds up to model.layers"});
    }
  }
  if (!b.seeds.empty() && b.seeds.size() != static_cast<std::size_t>(b.count)) {
    out.push_back({{"blocks.seeds", "blocks.count"},
                   "found " + std::to_string(b.seeds.size()) + " blocks.seeds with blocks.count " + text(b.count) +
                       "; accepted: one seed per block, or []"});
  }
}

void check_declared_data(const Config& c, std::vector<Conflict>& out) {
  const std::vector<int>& shape = c.data.shape;
  if (shape.empty()) return;
  if (shape.size() != 3) {
    out.push_back({{"data.shape"},
                   "found a list of " + std::to_string(shape.size()) +
                       "; accepted: channels, height and width, such as [3, 32, 32], or []"});
    return;
  }
  constexpr std::int64_t kMostNumbers = std::int64_t{1} << 24;
  if (std::int64_t{shape[0]} * shape[1] > kMostNumbers / shape[2]) {
    out.push_back({{"data.shape"},
                   "found images of " + text(shape[0]) + "x" + text(shape[1]) + "x" + text(shape[2]) +
                       " numbers; accepted: at most " + text(kMostNumbers) + " numbers"});
  } else if (shape[1] % c.model.patch != 0 || shape[2] % c.model.patch != 0) {
    out.push_back({{"model.patch", "data.shape"},
                   "found model.patch " + text(c.model.patch) + " with images of " + text(shape[1]) + "x" +
                       text(shape[2]) + " (data.shape); accepted: a patch that divides the image's height and width"});
  }
}

void check_sizes(const Config& c, std::vector<Conflict>& out) {
  const ModelConfig& m = c.model;
  if (m.width % m.heads != 0) {
    const std::int64_t below = m.width - m.width % m.heads, above = below + m.heads;
    out.push_back({{"model.width", "model.heads"},
                   "found model.width " + text(m.width) + " with model.heads " + text(m.heads) +
                       "; accepted: a width that the heads divide evenly, such as " + text(below > 0 ? below : above)});
  }
  if (c.data.micro_batch > c.data.batch) {
    out.push_back({{"data.micro_batch", "data.batch"},
                   "found data.micro_batch " + text(c.data.micro_batch) + " with data.batch " + text(c.data.batch) +
                       "; accepted: at most the batch, or 0"});
  }
  // Times tokens per image, activations per token and bytes, this still fits into 64 bits.
  constexpr std::int64_t kLargestWork = std::int64_t{1} << 40;
  const std::int64_t work = c.data.batch * m.layers * m.width;
  if (work > kLargestWork) {
    out.push_back({{"data.batch", "model.layers", "model.width"},
                   "found data.batch " + text(c.data.batch) + " times model.layers " + text(m.layers) +
                       " times model.width " + text(m.width) + " = " + text(work) + "; accepted: at most " +
                       text(kLargestWork)});
  }
}

void check_noise(const Config& c, std::vector<Conflict>& out) {
  const NoiseConfig& n = c.noise;
  // Closer than this, the intervals of neighbouring blocks are the same in float32.
  constexpr double kLeastRatio = 1.01;
  if (!(n.sigma_max >= kLeastRatio * n.sigma_min)) {
    out.push_back({{"noise.sigma_min", "noise.sigma_max"},
                   "found noise.sigma_min " + shortest(n.sigma_min) + " with noise.sigma_max " + shortest(n.sigma_max) +
                       "; accepted: a sigma_max that is larger, by 1% at least"});
    return;
  }
  const bool by_probability = n.partition == Partition::equal_probability;
  if (!by_probability && n.sampling != NoiseSampling::lognormal) return;
  const double low = (std::log(n.sigma_min) - n.p_mean) / n.p_std, high = (std::log(n.sigma_max) - n.p_mean) / n.p_std;
  // Phi(high) - Phi(low), each from the tail on its own side, where it keeps its digits.
  const auto upper = [](double u) { return 0.5 * std::erfc(u / std::sqrt(2.0)); };
  const double mass = low > 0 ? upper(low) - upper(high) : upper(-high) - upper(-low);
  constexpr double kLeastMass = 1e-3;
  const std::string with = "found noise.p_mean " + shortest(n.p_mean) + " and noise.p_std " + shortest(n.p_std) +
                           " with the noise range " + shortest(n.sigma_min) + " to " + shortest(n.sigma_max);
  if (!(mass >= kLeastMass)) {
    out.push_back({{"noise.p_mean", "noise.p_std", "noise.sigma_min", "noise.sigma_max"},
                   with + "; accepted: a log-normal with at least " + shortest(kLeastMass) +
                       " of its probability inside the range"});
    return;
  }
  // Further out a block's interval would hold no probability that a double can tell from 0.
  constexpr double kFarthest = 30;
  if (!by_probability && (low < -kFarthest || high > kFarthest)) {
    out.push_back({{"noise.p_std", "noise.p_mean", "noise.sampling", "noise.sigma_min", "noise.sigma_max"},
                   with + "; accepted: a range within " + shortest(kFarthest) +
                       " deviations of the log-normal's mean, or another noise.sampling"});
  }
}

void check_optimizer(const Config& c, std::vector<Conflict>& out) {
  const OptimizerConfig& o = c.optimizer;
  if (o.decay_steps > 0 && o.warmup_steps > o.decay_steps) {
    out.push_back({{"optimizer.warmup_steps", "optimizer.decay_steps"},
                   "found optimizer.warmup_steps " + text(o.warmup_steps) + " with optimizer.decay_steps " +
                       text(o.decay_steps) + "; accepted: a warm-up that ends before the decay"});
  }
  if (o.learning_rate * o.weight_decay > 1) {
    out.push_back({{"optimizer.weight_decay", "optimizer.learning_rate"},
                   "found optimizer.learning_rate " + shortest(o.learning_rate) + " times optimizer.weight_decay " +
                       shortest(o.weight_decay) +
                       "; accepted: a product of at most 1, or decay would turn weights round"});
  }
}

void check_eval_and_parallel(const Config& c, std::vector<Conflict>& out) {
  std::vector<int> steps = c.eval.steps;
  std::sort(steps.begin(), steps.end());
  if (const auto twice = std::adjacent_find(steps.begin(), steps.end()); twice != steps.end()) {
    out.push_back({{"eval.steps"}, "found " + text(*twice) + " twice; accepted: each number of steps once"});
  }
  if (c.eval.guidance != 1 && c.model.label_dropout == 0) {
    out.push_back(
        {{"eval.guidance", "model.label_dropout"},
         "found eval.guidance " + shortest(c.eval.guidance) +
             " with model.label_dropout 0, so that no image is learnt without its label; accepted: guidance 1, "
             "or a label_dropout such as 0.1"});
  }
  if (c.parallel.ranks > 0 && c.parallel.transport == TransportChoice::mpi) {
    out.push_back({{"parallel.ranks", "parallel.transport"},
                   "found parallel.ranks " + text(c.parallel.ranks) +
                       " with parallel.transport mpi; accepted: 0, for mpirun's -np says how many ranks there are"});
  }
}

}  // namespace

std::vector<Conflict> find_conflicts(const Config& config) {
  std::vector<Conflict> conflicts;
  check_blocks(config, conflicts);
  check_declared_data(config, conflicts);
  check_sizes(config, conflicts);
  check_noise(config, conflicts);
  check_optimizer(config, conflicts);
  check_eval_and_parallel(config, conflicts);
  return conflicts;
}

}  // namespace blocktrain::trainer
