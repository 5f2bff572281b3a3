#pragma once
/// RUN/eval.json of a run that tells classes.
///
/// Format "blocktrain-eval", version 1; format to data as images/eval_file.hpp says. Cross-entropies are nats, means
/// over images; shares are 0 to 1; FLOPs count matrix products and attention (a multiply-add is two).
///
///   settings    task ("labels"), images (held-out, per figure), steps (eval.steps), seed
///   run         folder, summary, computed_on, training, experiment, steps, parameters as ever, and
///     blocks, of_blocks   measured, from the first, and trained
///     accuracy_at_sigma_max, cross_entropy_at_sigma_max
///               what the network tells by the image alone: the figures to compare by. Of an end-to-end network those
///               of its answer
///     answers   [{steps, accuracy, cross_entropy, flops_per_image}], from noise in so many steps (where the first
///               blocks alone are measured: one per block; 0: an end-to-end network, which has no noise)
///     levels    [{sigma, block, edge, accuracy, cross_entropy}] from sigma_max, given the true class under that much
///               noise; edge: where two blocks meet. Below sigma_max the class gives itself away
///   twin        null, or the same of the run given as --twin: same images, levels and noise

#include <string>

#include "trainer/ledger/ledger.hpp"
#include "trainer/tasks/labels/label_evaluation.hpp"

namespace blocktrain::trainer {

/// The text of eval.json.
std::string to_json(const LabelEvalResult& result);

/// Tables for a terminal of 100 columns.
std::string to_table(const LabelEvalResult& result);

/// The row of the ledger, of the run alone.
EvalRow ledger_row(const LabelEvalResult& result);

}  // namespace blocktrain::trainer
