#pragma once
/// What `blocktrain eval` measures of a run that tells classes, and of a second run beside it.

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/eval/eval_head.hpp"
#include "trainer/eval/eval_progress.hpp"
#include "trainer/eval/trained_network.hpp"
#include "trainer/tasks/labels/class_scores.hpp"

namespace blocktrain::trainer {

struct LabelNetworkResult : EvaluatedNetwork {
  int blocks = 0, of_blocks = 0;  ///< loaded, and trained
  ClassScores scores;

  /// The score where the noisy class says nothing, so that what is left is what the image tells: the figure to compare
  /// by. Of a network without noise its answer.
  const ClassScore& at_sigma_max() const;
};

struct LabelEvalResult : EvalHead {
  std::uint64_t seed = 0;
  std::vector<int> steps;
  LabelNetworkResult run;
  std::vector<LabelNetworkResult> twin;  ///< none or one
};

/// Measures `run` and, when not null, `twin` beside it, as run's eval.* says. All ranks of the networks, the same ones,
/// call together; rank 0 gets the results, what the others get lacks them. Throws InputError where the data are not
/// those of the run, RunError as EvaluationRanks::run().
LabelEvalResult evaluate_labels(TrainedNetwork& run, TrainedNetwork* twin, EvalProgress& progress);

}  // namespace blocktrain::trainer
