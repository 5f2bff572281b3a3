#include "trainer/tasks/labels/label_evaluation.hpp"

#include <fmt/format.h>

#include <chrono>
#include <memory>

#include "trainer/tasks/labels/labels_options.hpp"

namespace blocktrain::trainer {

const ClassScore& LabelNetworkResult::at_sigma_max() const {
  return scores.levels.empty() ? scores.answers.front().score : scores.levels.front().score;
}

LabelEvalResult evaluate_labels(TrainedNetwork& run, TrainedNetwork* twin, EvalProgress& progress) {
  const auto start = std::chrono::steady_clock::now();
  const Config& config = run.config();
  std::unique_ptr<Samples> data;
  run.ranks().together([&] { data = run.open_data(); });
  LabelEvalResult result;
  static_cast<EvalHead&>(result) = eval_head(run, *data);
  result.seed = config.seed;
  result.steps = config.task.as<LabelsOptions>().steps;

  // Both at the levels of the run, unless that one knows no noise.
  const bool by_twin = twin != nullptr && run.block(0).levels_per_sample() == 0;
  const std::vector<ComparedLevel> levels = compared_levels((by_twin ? *twin : run).network().schedule());
  const auto measure = [&](TrainedNetwork& network, const char* name) {
    LabelNetworkResult r;
    static_cast<EvaluatedNetwork&>(r) = evaluated_network(network);
    r.blocks = network.blocks();
    r.of_blocks = network.network().schedule().count();
    const ClassEvaluation evaluation{network.network(),   network.device(), network.ranks(), *data, network.batch(),
                                     config.eval.heldout, config.seed,      result.steps,    levels};
    r.scores = measure_classes(evaluation, progress.phase(fmt::format("{}: telling held-out images apart", name)));
    return r;
  };
  result.run = measure(run, twin != nullptr ? "run" : "network");
  if (twin != nullptr) result.twin.push_back(measure(*twin, "twin"));
  progress.end();
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace blocktrain::trainer
