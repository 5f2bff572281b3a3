#include "trainer/tasks/images/evaluation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

#include "kernels/error.hpp"
#include "trainer/plan/network.hpp"
#include "trainer/plan/plan.hpp"
#include "trainer/support/threads.hpp"
#include "trainer/tasks/images/frechet.hpp"
#include "trainer/tasks/images/image_features.hpp"
#include "trainer/tasks/images/image_generator.hpp"
#include "trainer/tasks/images/image_samples.hpp"
#include "trainer/tasks/images/images_options.hpp"

namespace blocktrain::trainer {
namespace {

/// More real images than this would take long and change the distances little.
constexpr std::int64_t most_real_images = 10000;

/// Real images as the two references of both kinds of distance.
class RealReferences {
 public:
  RealReferences(const ImageDataset& data, ImageClassifier& classifier)
      : classifier_(classifier),
        space_(pixel_space(data.shape())),
        training_(measure(data, Split::train)),
        heldout_(measure(data, Split::heldout)) {}

  FrechetDistances distances(const std::vector<float>& images, const std::vector<float>& features) const {
    const Moments pixels = moments(pixel_vectors(images, space_), space_.dimensions());
    const Moments seen = moments(features, classifier_.settings().hidden);
    return {training_.pixels.distance(pixels), heldout_.pixels.distance(pixels), training_.features.distance(seen),
            heldout_.features.distance(seen)};
  }

  void describe(EvalResult& result) const {
    result.pixel_space = space_.name();
    result.pixel_dimensions = space_.dimensions();
    result.feature_dimensions = classifier_.settings().hidden;
    result.training_images_compared = training_.pixels.fixed().count;
    result.heldout_images_compared = heldout_.pixels.fixed().count;
    result.classifier.training_accuracy = training_.accuracy;
    result.classifier.heldout_accuracy = heldout_.accuracy;
    result.floor_pixels = training_.pixels.distance(heldout_.pixels.fixed());
    result.floor_features = training_.features.distance(heldout_.features.fixed());
  }

 private:
  struct Part {
    FrechetReference pixels, features;
    double accuracy;
  };

  Part measure(const ImageDataset& data, Split split) const {
    const RealImages real = real_images(data, split, most_real_images);
    const ImageClassifier::Judgement judged = classifier_.judge(real.images);
    return {FrechetReference(moments(pixel_vectors(real.images, space_), space_.dimensions())),
            FrechetReference(moments(judged.features, classifier_.settings().hidden)),
            agreement(judged.classes, real.labels)};
  }

  ImageClassifier& classifier_;
  PixelSpace space_;
  Part training_, heldout_;
};

/// What generated images are judged by: a classifier trained on the real ones, and distances to those.
class Judge {
 public:
  Judge(TrainedNetwork& run, const ImageDataset& data, EvalProgress& progress)
      : host_ops_(ops_of_host(run)),
        classifier_(host_ops_ ? *host_ops_ : run.ops(), data.shape(), data.classes(),
                    classifier_settings(data.shape(), run.config().task.as<ImagesOptions>().flip)) {
    classifier_.train(data, progress.phase("training the classifier that judges"));
    real_.emplace(data, classifier_);
  }

  void describe(EvalResult& result) const {
    result.classifier.settings = classifier_.settings();
    result.classifier.parameters = classifier_.parameter_count();
    real_->describe(result);
  }

  /// Judges `images`, which were to be of the classes `labels`.
  void judge(GenerationResult& result, std::vector<float> images, const std::vector<std::int32_t>& labels) {
    // As they are seen.
    for (float& x : images) x = std::clamp(x, -1.0F, 1.0F);
    const ImageClassifier::Judgement judged = classifier_.judge(images);
    result.agreement = agreement(judged.classes, labels);
    result.frechet = real_->distances(images, judged.features);
  }

 private:
  // The judge computes on the CPU whatever the network computes on: it then is the same to the bit for every run on the
  // same data, on a machine with a GPU and on one without, and is too small to gain from one.
  static std::unique_ptr<kernels::Ops> ops_of_host(TrainedNetwork& run) {
    if (run.device().shares_host_memory()) return nullptr;
    return kernels::make_cpu_ops(choose_threads_alone(run.config().parallel.threads).threads);
  }

  std::unique_ptr<kernels::Ops> host_ops_;
  ImageClassifier classifier_;
  std::optional<RealReferences> real_;
};

double end_to_end_flops(const Config& config, const blocks::SampleLayout& data) {
  const Plan twin = end_to_end_twin(config, data, 1);
  return twin.blocks.front().flops.forward;
}

/// `judge` is null on all ranks but the first, which take their shares and have no results.
NetworkResult measure_network(TrainedNetwork& network, const char* name, const Config& config, const Samples& data,
                              Judge* judge, EvalProgress& progress) {
  const auto& options = config.task.as<ImagesOptions>();
  NetworkResult r;
  static_cast<EvaluatedNetwork&>(r) = evaluated_network(network);
  r.denoising = measure_denoising(network, data, config, config.eval.heldout,
                                  progress.phase(fmt::format("{}: denoising held-out images", name)));

  std::vector<std::int32_t> labels;
  for (int i = 0; i < options.samples; ++i) labels.push_back(i % static_cast<int>(network.data().layout.classes));
  const double whole = end_to_end_flops(network.config(), network.data().layout);
  ImageGenerator generator(network);
  for (const int steps : options.steps) {
    GenerationResult g;
    g.steps = steps;
    const GenerationSettings settings{steps, options.sampler, options.guidance, config.seed};
    GeneratedImages made =
        generator.generate(labels, settings, progress.phase(fmt::format("{}: generating with {} steps", name, steps)));
    if (judge == nullptr) continue;
    judge->judge(g, std::move(made.images), labels);
    g.flops_per_image = made.flops_per_image;
    g.end_to_end_flops_per_image =
        whole * static_cast<double>(evaluations_per_image(settings.sampler, steps, settings.guidance));
    g.seconds_per_image = made.seconds_per_image;
    r.generation.push_back(g);
  }
  return r;
}

/// The data of the run, on all ranks. Throws InputError where there are too few images to compare.
std::unique_ptr<Samples> open_data_to_compare(TrainedNetwork& run) {
  std::unique_ptr<Samples> data;
  run.ranks().together([&] {
    const int samples = static_cast<int>(run.config().task.as<ImagesOptions>().samples);
    if (samples < 2) throw InputError(fmt::format("eval.samples: found {}; distances need 2 or more", samples));
    data = run.open_data();
    for (const Split split : {Split::train, Split::heldout}) {
      if (data->count(split) >= 2) continue;
      throw InputError(fmt::format("data.path: found {} {} images; distances between images need 2 or more",
                                   data->count(split), to_string(split)));
    }
  });
  return data;
}

}  // namespace

bool EvalResult::fewer_images_than_dimensions() const {
  return std::min({static_cast<std::int64_t>(samples), training_images_compared, heldout_images_compared}) <
         std::max(pixel_dimensions, feature_dimensions);
}

EvalResult evaluate_run(TrainedNetwork& run, TrainedNetwork* twin, EvalProgress& progress) {
  const auto start = std::chrono::steady_clock::now();
  const Config& config = run.config();
  const auto& options = config.task.as<ImagesOptions>();
  const std::unique_ptr<Samples> samples = open_data_to_compare(run);
  const ImageDataset& data = images_of(*samples);
  EvalResult result;
  static_cast<EvalHead&>(result) = eval_head(run, *samples);
  result.samples = static_cast<int>(options.samples);
  result.guidance = options.guidance;
  result.sampler = options.sampler;
  result.seed = config.seed;

  // The others go ahead with their shares meanwhile.
  std::optional<Judge> judge;
  if (run.ranks().leads()) {
    judge.emplace(run, data, progress);
    judge->describe(result);
  }
  const auto measure = [&](TrainedNetwork& network, const char* name) {
    return measure_network(network, name, config, *samples, judge ? &*judge : nullptr, progress);
  };
  result.run = measure(run, twin != nullptr ? "run" : "network");
  if (twin != nullptr) result.twin.push_back(measure(*twin, "twin"));
  progress.end();
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

std::int64_t evaluations_per_image(SamplerKind sampler, int steps, double guidance) {
  const std::int64_t times = sampler == SamplerKind::heun ? 2 * std::int64_t{steps} - 1 : steps;
  return guidance == 0 || guidance == 1 ? times : 2 * times;
}

}  // namespace blocktrain::trainer
