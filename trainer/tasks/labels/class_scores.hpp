#pragma once
/// How well a network tells the classes of held-out samples (method: section 1, inference; section 5, traps 2, 6, 7):
/// from noise alone in so many steps, and at single noise levels with the noisy true class before its eyes. There the
/// figure at sigma_max counts: lower down, the noisy class gives itself away. A network that is trained without noise
/// just answers.
///
/// An answer from noise is a draw: perfect blocks find class y with the probability p(y|x), so in many steps their
/// accuracy is the mean of p(y|x), and no longer the share of samples whose class is the likeliest, as in one step.
///
/// Samples, levels and noise are keyed by the seed and nothing else, so two networks compare number by number, and no
/// bit depends on ranks, threads or the size of batches.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "blocks/assembled.hpp"
#include "kernels/device.hpp"
#include "trainer/data/samples.hpp"
#include "trainer/eval/denoising_losses.hpp"
#include "trainer/eval/evaluation_ranks.hpp"
#include "trainer/eval/report_progress.hpp"

namespace blocktrain::trainer {

/// Means over samples.
struct ClassScore {
  double accuracy = 0;       ///< share of samples whose class has the largest logit
  double cross_entropy = 0;  ///< nats
};

/// Of what the network answers when it knows the image alone.
struct AnswerScore {
  int steps = 0;  ///< noise levels gone through; 0: of a network without noise
  ClassScore score;
  double flops_per_sample = 0;
};

struct LevelScore {
  ComparedLevel level;
  ClassScore score;
};

struct ClassScores {
  std::int64_t samples = 0;
  std::vector<AnswerScore> answers;
  std::vector<LevelScore> levels;  ///< from sigma_max; none of a network without noise
};

/// What is measured, and by whom.
struct ClassEvaluation {
  blocks::AssembledNetwork& network;  ///< bound for `batch` samples; the first blocks of the run, or all
  kernels::Device& device;            ///< the network lies there
  EvaluationRanks& ranks;             ///< all of them have the network
  const Samples& data;
  std::int64_t batch = 1;    ///< samples at a time
  std::int64_t samples = 1;  ///< held-out ones, spread over all; all where there are fewer
  std::uint64_t seed = 0;
  /// Sampling steps of each answer. Each step goes to the next of that many levels (NoiseSchedule::sampling_edges);
  /// where the first blocks alone are there, steps are one per block, whatever this says.
  std::vector<int> steps;
  std::vector<ComparedLevel> levels;  ///< of these, those that the network's blocks own
};

/// All ranks call together; rank 0 gets the scores, for the others they stay 0. Throws as EvaluationRanks::run().
ClassScores measure_classes(const ClassEvaluation& evaluation, const ReportProgress& report = {});

/// Bytes that this takes of a device besides the network.
std::size_t class_scores_bytes(const blocks::Block& block, const blocks::SampleLayout& layout, std::int64_t batch);

}  // namespace blocktrain::trainer
