#include "trainer/tasks/labels/label_task.hpp"

#include <memory>

#include "trainer/eval/eval_report.hpp"
#include "trainer/tasks/images/data_outline.hpp"
#include "trainer/tasks/images/data_report.hpp"
#include "trainer/tasks/labels/label_eval_file.hpp"
#include "trainer/tasks/labels/label_samples.hpp"

namespace blocktrain::trainer {
namespace {

class LabelTask : public Task {
 public:
  std::string_view name() const override { return "labels"; }

  DataOutline outline(const Config& config) const override {
    return outline_images(config.data.path, config.task.as<LabelsOptions>());
  }

  std::unique_ptr<Samples> open(const Config& config) const override {
    const auto& options = config.task.as<LabelsOptions>();
    return std::make_unique<LabelSamples>(open_images(config.data.path, options), config.data.path,
                                          augmentation_of(options));
  }

  std::string description(const DataFacts& facts) const override { return describe_images(facts); }

  DataReport inspect(const std::string& path, const blocks::Options& options) const override {
    return report_images(name(), path, options.as<LabelsOptions>());
  }

  std::size_t device_bytes(const blocks::Block& block, const blocks::SampleLayout& layout,
                           std::int64_t batch) const override {
    return class_scores_bytes(block, layout, batch);
  }

  bool evaluates_first_blocks() const override { return true; }

  EvalReport evaluate(TrainedNetwork& run, TrainedNetwork* twin, EvalProgress& progress) const override {
    const LabelEvalResult result = evaluate_labels(run, twin, progress);
    if (!run.ranks().leads()) return {};
    return {to_json(result), to_table(result), ledger_row(result)};
  }
};

}  // namespace

const Task& label_task() {
  static const LabelTask task;
  return task;
}

}  // namespace blocktrain::trainer
