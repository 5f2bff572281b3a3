#include "trainer/tasks/labels/class_scores.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>

#include "blocks/noise/preconditioning.hpp"
#include "blocks/noise/sampler.hpp"
#include "kernels/error.hpp"
#include "trainer/data/upload_batch.hpp"
#include "trainer/tasks/images/image_layout.hpp"

namespace blocktrain::trainer {
namespace {

using kernels::Arena;
using kernels::DType;
using kernels::Purpose;
using kernels::Tensor;

/// Samples of a piece of work: a number of its own, so that sums do not depend on the size of batches.
constexpr std::int64_t piece_samples = 512;

/// Sums over samples.
struct Sums {
  double right = 0, cross_entropy = 0;

  /// Adds a sample of that class.
  void add(std::span<const float> logits, std::int32_t label) {
    const auto largest = std::max_element(logits.begin(), logits.end());
    double sum = 0;
    for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - *largest);
    const double loss = std::log(sum) + *largest - logits[static_cast<std::size_t>(label)];
    cross_entropy += loss;
    // No comparison tells anything of logits that are not numbers.
    if (std::isfinite(loss) && largest - logits.begin() == label) ++right;
  }
  void add(const Sums& other) {
    right += other.right;
    cross_entropy += other.cross_entropy;
  }
  ClassScore mean(std::int64_t samples) const {
    const auto n = static_cast<double>(samples);
    return {right / n, cross_entropy / n};
  }
};

/// What a batch is computed in, where the device computes.
struct Work {
  blocks::Batch input;
  Tensor level, z, d, logits;
  kernels::StepState* state = nullptr;

  void bind(Arena& arena, const blocks::Block& block, const blocks::SampleLayout& layout, std::int64_t batch) {
    input = blocks::bind_batch(arena, layout, batch);
    level = block.allocate_levels(arena, DType::float32, batch);
    z = block.allocate_noisy(arena, DType::float32, batch);
    d = block.allocate_noisy(arena, DType::float32, batch);
    logits = block.allocate_estimate(arena, DType::float32, batch);
    state = arena.room_for<kernels::StepState>();
  }
};

/// The batch at hand.
class HeldoutBatches {
 public:
  explicit HeldoutBatches(const ClassEvaluation& e)
      : e_(e), device_(e.device), apart_(!device_.shares_host_memory()), layout_(e.data.layout()) {
    all_ = e.data.count(Split::heldout);
    count_ = std::min(e.samples, all_);
    arena_.emplace(device_.arena("held-out batch", class_scores_bytes(e.network.block(0), layout_, e.batch)));
    work_.bind(*arena_, e.network.block(0), layout_, e.batch);
    here_ = work_.input;
    if (!apart_) return;
    Arena sizing = Arena::measuring("held-out samples");
    blocks::bind_batch(sizing, layout_, e.batch);
    staging_.emplace(device_.staging("held-out samples", sizing.peak()));
    here_ = blocks::bind_batch(*staging_, layout_, e.batch);
    logits_.resize(static_cast<std::size_t>(work_.logits.size()));
  }

  std::int64_t count() const { return count_; }
  bool has_noise() const { return !work_.z.empty(); }

  /// Sums over samples [begin, end) of what `answer` makes of an input whose batch knows its labels.
  template <class Answer>
  Sums sum(std::int64_t begin, std::int64_t end, const Answer& answer) {
    Sums sums;
    for (; begin < end; begin += e_.batch) {
      const std::int64_t n = std::min(e_.batch, end - begin);
      const blocks::Batch here = fill(begin, n);
      blocks::NetworkInput input;
      input.batch = work_.input.rows({0, n});
      input.batch.first_sample = static_cast<std::uint32_t>(begin);
      input.noisy = blocks::rows_of(work_.z, {0, n});
      input.level = blocks::rows_of(work_.level, {0, n});
      const Tensor logits = work_.logits.rows(0, n);
      answer(logits, input);
      const float* row = on_host(logits);
      const auto* label = here.fields[label_field].template as<std::int32_t>();
      const auto classes = static_cast<std::size_t>(logits.row_size());
      for (std::int64_t i = 0; i < n; ++i, row += classes) sums.add({row, classes}, label[i]);
    }
    return sums;
  }

  /// From noise to an answer at the last of the levels; without levels by a network without noise.
  void answer(const Tensor& logits, blocks::NetworkInput input, std::span<const double> sigmas) {
    kernels::Ops& ops = device_.ops();
    input.batch.fields[label_field] = {};
    if (sigmas.empty()) return e_.network.estimate(ops, logits, {}, 0, input.batch);
    const Tensor& z = input.noisy;
    const Tensor d = work_.d.rows(0, z.dim(0));
    const double deviation = blocks::unit_row_deviation(z.row_size());
    ops.random_normal(blocks::sample_rows(z), {e_.seed, Purpose::sampling, 0}, 0, input.batch.first_sample);
    ops.axpby(z, std::hypot(deviation, sigmas.front()), z, 0, z);
    for (std::size_t i = 0; i + 1 < sigmas.size(); ++i) {
      e_.network.denoise(ops, d, z, sigmas[i], input.batch);
      blocks::euler_step(ops, z, d, sigmas[i], sigmas[i + 1]);
    }
    e_.network.estimate(ops, logits, z, sigmas.back(), input.batch);
  }

  /// The answer at one level, where the noisy class is the true one's; noise by the numbers of `step`.
  void answer_noisy(const Tensor& logits, blocks::NetworkInput input, double sigma, std::uint32_t step) {
    kernels::Ops& ops = device_.ops();
    state_.step = step;
    device_.upload(work_.state, &state_, sizeof(state_));
    ops.fill(input.level, sigma);
    e_.network.block(e_.network.schedule().block_of(sigma)).add_noise(ops, input, {e_.seed, work_.state});
    input.batch.fields[label_field] = {};
    e_.network.estimate(ops, logits, input.noisy, sigma, input.batch);
  }

 private:
  /// Samples [begin, begin + n), on the host and where the device computes.
  blocks::Batch fill(std::int64_t begin, std::int64_t n) {
    const blocks::Batch here = here_.rows({0, n});
    indices_.clear();
    for (std::int64_t i = begin; i < begin + n; ++i) indices_.push_back(spread_sample(i, count_, all_));
    e_.data.fill(here, Split::heldout, indices_, std::nullopt);
    if (apart_) upload(device_, work_.input.rows({0, n}), here);
    return here;
  }

  const float* on_host(const Tensor& logits) {
    if (!apart_) {
      device_.ops().synchronize();
      return logits.as<float>();
    }
    device_.download(logits_.data(), logits.data, logits.bytes());
    return logits_.data();
  }

  const ClassEvaluation& e_;
  kernels::Device& device_;
  bool apart_;  ///< the device has memory of its own
  blocks::SampleLayout layout_;
  std::int64_t all_ = 0, count_ = 0;
  std::optional<Arena> arena_, staging_;
  Work work_;
  blocks::Batch here_;        ///< in host memory
  kernels::StepState state_;  ///< on its way to the device, until the logits are here
  std::vector<float> logits_;
  std::vector<std::int64_t> indices_;
};

/// The levels that an answer goes through.
std::vector<double> levels_of_answer(const blocks::NoiseSchedule& schedule, int steps) {
  std::vector<double> levels = schedule.sampling_edges(steps);
  levels.pop_back();
  return levels;
}

}  // namespace

std::size_t class_scores_bytes(const blocks::Block& block, const blocks::SampleLayout& layout, std::int64_t batch) {
  Arena sizing = Arena::measuring("held-out batch");
  Work().bind(sizing, block, layout, batch);
  return sizing.peak();
}

ClassScores measure_classes(const ClassEvaluation& e, const ReportProgress& report) {
  HeldoutBatches heldout(e);
  const blocks::NoiseSchedule& schedule = e.network.schedule();
  const int there = e.network.count();  // of the blocks
  ClassScores out;
  out.samples = heldout.count();
  std::vector<std::vector<double>> sigmas;  // of each answer
  if (!heldout.has_noise()) {
    sigmas.emplace_back();
  } else if (there < schedule.count()) {
    sigmas.emplace_back(schedule.edges().begin(), schedule.edges().begin() + there);
  } else {
    for (const int steps : e.steps) sigmas.push_back(levels_of_answer(schedule, steps));
  }
  if (heldout.has_noise()) {
    for (const ComparedLevel& level : e.levels) {
      if (schedule.block_of(level.sigma) < there) out.levels.push_back({level, {}});
    }
  }

  const auto answers = static_cast<std::int64_t>(sigmas.size());
  const std::int64_t jobs = answers + static_cast<std::int64_t>(out.levels.size());
  const std::int64_t pieces = (heldout.count() + piece_samples - 1) / piece_samples;  // of each job
  const auto piece = [&](std::int64_t number) {
    const std::int64_t job = number / pieces, begin = number % pieces * piece_samples;
    const std::int64_t end = std::min(begin + piece_samples, heldout.count());
    if (job < answers) {
      return to_bytes(heldout.sum(begin, end, [&](const Tensor& logits, const blocks::NetworkInput& input) {
        heldout.answer(logits, input, sigmas[static_cast<std::size_t>(job)]);
      }));
    }
    const std::int64_t number_of_level = job - answers;
    const double sigma = out.levels[static_cast<std::size_t>(number_of_level)].level.sigma;
    return to_bytes(heldout.sum(begin, end, [&](const Tensor& logits, const blocks::NetworkInput& input) {
      heldout.answer_noisy(logits, input, sigma, static_cast<std::uint32_t>(number_of_level));
    }));
  };
  const auto results = e.ranks.run(jobs * pieces, piece, report);

  const auto score_of = [&](std::int64_t job) {
    if (results.empty()) return ClassScore{};  // rank 0 has them
    Sums sums;
    for (std::int64_t i = 0; i < pieces; ++i)
      sums.add(from_bytes<Sums>(results[static_cast<std::size_t>(job * pieces + i)]));
    return sums.mean(heldout.count());
  };
  for (std::int64_t job = 0; job < answers; ++job) {
    const std::vector<double>& levels = sigmas[static_cast<std::size_t>(job)];
    AnswerScore answer{static_cast<int>(levels.size()), score_of(job), 0};
    if (levels.empty()) answer.flops_per_sample = e.network.block(0).flops().forward;
    for (const double sigma : levels) {
      answer.flops_per_sample += e.network.block(schedule.block_of(sigma)).flops().forward;
    }
    out.answers.push_back(answer);
  }
  for (std::size_t i = 0; i < out.levels.size(); ++i) {
    out.levels[i].score = score_of(answers + static_cast<std::int64_t>(i));
  }
  return out;
}

}  // namespace blocktrain::trainer
