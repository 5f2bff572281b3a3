#include "trainer/tasks/images/image_task.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "trainer/eval/eval_progress.hpp"
#include "trainer/eval/eval_report.hpp"
#include "trainer/eval/heldout_losses.hpp"
#include "trainer/tasks/images/data_outline.hpp"
#include "trainer/tasks/images/data_report.hpp"
#include "trainer/tasks/images/eval_file.hpp"
#include "trainer/tasks/images/eval_table.hpp"
#include "trainer/tasks/images/evaluation.hpp"
#include "trainer/tasks/images/image_generation.hpp"
#include "trainer/tasks/images/image_generator.hpp"
#include "trainer/tasks/images/image_samples.hpp"
#include "trainer/tasks/images/lapack.hpp"

namespace blocktrain::trainer {
namespace {

EvalRow ledger_row(const EvalResult& result) {
  EvalRow row;
  row.step = *std::min_element(result.run.steps.begin(), result.run.steps.end());
  row.samples = result.run.denoising.samples;
  row.seconds = result.seconds;
  row.metrics = {{"heldout_loss", result.run.denoising.loss}, {"heldout_unweighted", result.run.denoising.mse}};
  for (const GenerationResult& g : result.run.generation) {
    row.metrics.emplace_back(fmt::format("agreement_{}_steps", g.steps), g.agreement);
    row.metrics.emplace_back(fmt::format("frechet_pixels_training_{}_steps", g.steps), g.frechet.pixels_training);
    row.metrics.emplace_back(fmt::format("frechet_features_training_{}_steps", g.steps), g.frechet.features_training);
  }
  return row;
}

class ImageTask : public Task {
 public:
  std::string_view name() const override { return "images"; }

  void prepare() const override { lapack(); }

  DataOutline outline(const Config& config) const override {
    return outline_images(config.data.path, config.task.as<ImagesOptions>());
  }

  std::unique_ptr<Samples> open(const Config& config) const override {
    const auto& options = config.task.as<ImagesOptions>();
    return std::make_unique<ImageSamples>(open_images(config.data.path, options), config.data.path, options.flip);
  }

  std::string description(const DataFacts& facts) const override { return describe_images(facts); }

  bool recognizes(const std::string& path) const override { return holds_images(path); }

  DataReport inspect(const std::string& path, const blocks::Options& options) const override {
    return report_images(name(), path, options.as<ImagesOptions>());
  }

  std::size_t device_bytes(const blocks::Block&, const blocks::SampleLayout& layout,
                           std::int64_t batch) const override {
    return std::max(ImageGenerator::device_bytes(image_shape_of(layout), batch),
                    HeldoutLosses::device_bytes(layout, batch));
  }

  EvalReport evaluate(TrainedNetwork& run, TrainedNetwork* twin, EvalProgress& progress) const override {
    const EvalResult result = evaluate_run(run, twin, progress);
    if (!run.ranks().leads()) return {};
    return {to_json(result), to_table(result), ledger_row(result)};
  }

  bool generates() const override { return true; }

  void generate(TrainedNetwork& network, const GenerateArguments& arguments) const override {
    generate_images(network, arguments);
  }
};

}  // namespace

const Task& image_task() {
  static const ImageTask task;
  return task;
}

}  // namespace blocktrain::trainer
