#include "trainer/eval/evaluation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>

#include "kernels/error.hpp"
#include "trainer/eval/frechet.hpp"
#include "trainer/eval/image_features.hpp"
#include "trainer/run/network.hpp"
#include "trainer/run/plan.hpp"
#include "trainer/run/threads.hpp"

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
    if (data.count(split) < 2) {
      throw InputError(fmt::format("data.path: found {} {} images; distances between images need 2 or more",
                                   data.count(split), to_string(split)));
    }
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

double end_to_end_flops(const Config& config, const DataShape& data) {
  const Plan twin = end_to_end_twin(config, data, 1);
  return twin.blocks.front().flops.forward;
}

NetworkResult measure_network(TrainedNetwork& network, const char* name, const Config& config, const ImageDataset& data,
                              ImageClassifier& classifier, const RealReferences& real, EvalProgress& progress) {
  NetworkResult r;
  r.folder = network.folder();
  r.summary = network.summary();
  r.computed_on = network.computed_on();
  r.training = network.config().blocks.training == TrainingMode::end_to_end ? "end_to_end" : "block_local";
  r.experiment = network.experiment();
  r.steps = network.steps();
  r.parameters = network.parameter_count();
  r.denoising = measure_denoising(network, data, config, config.eval.images,
                                  progress.phase(fmt::format("{}: denoising held-out images", name)));

  std::vector<std::int32_t> labels;
  for (int i = 0; i < config.eval.samples; ++i) labels.push_back(i % static_cast<int>(network.data().shape.classes));
  const double whole = end_to_end_flops(network.config(), network.data().shape);
  ImageGenerator generator(network);
  for (const int steps : config.eval.steps) {
    GenerationResult g;
    g.steps = steps;
    const GenerationSettings settings{steps, config.eval.sampler, config.eval.guidance, config.seed};
    GeneratedImages made =
        generator.generate(labels, settings, progress.phase(fmt::format("{}: generating with {} steps", name, steps)));
    // As they are seen.
    for (float& x : made.images) x = std::clamp(x, -1.0F, 1.0F);
    const ImageClassifier::Judgement judged = classifier.judge(made.images);
    g.agreement = agreement(judged.classes, labels);
    g.frechet = real.distances(made.images, judged.features);
    g.flops_per_image = made.flops_per_image;
    g.end_to_end_flops_per_image =
        whole * static_cast<double>(evaluations_per_image(settings.sampler, steps, settings.guidance));
    g.seconds_per_image = made.seconds_per_image;
    r.generation.push_back(g);
  }
  return r;
}

}  // namespace

bool EvalResult::fewer_images_than_dimensions() const {
  return std::min({static_cast<std::int64_t>(samples), training_images_compared, heldout_images_compared}) <
         std::max(pixel_dimensions, feature_dimensions);
}

void require_comparable(const TrainedNetwork& run, const TrainedNetwork& twin) {
  const Config &a = run.config(), &b = twin.config();
  std::string differs;
  const auto same = [&differs](bool equal, const char* key) {
    if (!equal) differs += (differs.empty() ? "" : ", ") + std::string(key);
  };
  same(run.data().digest == twin.data().digest, "the data (data.path)");
  same(a.noise.partition == b.noise.partition, "noise.partition");
  same(a.noise.sigma_min == b.noise.sigma_min, "noise.sigma_min");
  same(a.noise.sigma_max == b.noise.sigma_max, "noise.sigma_max");
  same(a.noise.p_mean == b.noise.p_mean, "noise.p_mean");
  same(a.noise.p_std == b.noise.p_std, "noise.p_std");
  same(a.noise.sigma_data == b.noise.sigma_data, "noise.sigma_data");
  same(twin.blocks() == 1 || twin.blocks() == a.blocks.count, "blocks.count");
  if (!differs.empty()) {
    throw InputError(
        fmt::format("--twin: '{}' does not compare with '{}': they differ in {}; accepted: a run of the same data and "
                    "noise range, trained end to end or with as many blocks",
                    twin.folder(), run.folder(), differs));
  }
}

EvalResult evaluate_run(TrainedNetwork& run, TrainedNetwork* twin, EvalProgress& progress) {
  const auto start = std::chrono::steady_clock::now();
  const Config& config = run.config();
  if (config.eval.samples < 2)
    throw InputError(fmt::format("eval.samples: found {}; distances need 2 or more", config.eval.samples));
  const ImageDataset data = run.open_data();
  EvalResult result;
  result.data_path = config.data.path;
  result.data_digest = run.data().digest;
  result.training_images = data.count(Split::train);
  result.heldout_images = data.count(Split::heldout);
  result.samples = static_cast<int>(config.eval.samples);
  result.guidance = config.eval.guidance;
  result.sampler = config.eval.sampler;
  result.seed = config.seed;

  result.classifier.settings = classifier_settings(data.shape(), config.data.flip);
  // The judge computes on the CPU whatever the network computes on: it then is the same to the bit for every run on the
  // same data, on a machine with a GPU and on one without, and is too small to gain from one.
  const std::unique_ptr<kernels::Ops> host_ops =
      run.device().shares_host_memory()
          ? nullptr
          : kernels::make_cpu_ops(config.parallel.threads > 0 ? config.parallel.threads : automatic_threads(1));
  ImageClassifier classifier(host_ops ? *host_ops : run.ops(), data.shape(), data.classes(),
                             result.classifier.settings);
  result.classifier.parameters = classifier.parameter_count();
  classifier.train(data, progress.phase("training the classifier that judges"));
  const RealReferences real(data, classifier);
  real.describe(result);

  result.run = measure_network(run, twin != nullptr ? "run" : "network", config, data, classifier, real, progress);
  if (twin != nullptr) result.twin.push_back(measure_network(*twin, "twin", config, data, classifier, real, progress));
  progress.end();
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

const char* sampler_name(SamplerKind kind) {
  switch (kind) {
    case SamplerKind::euler:
      return "euler";
    case SamplerKind::heun:
      return "heun";
    case SamplerKind::ancestral:
      return "ancestral";
  }
  throw std::logic_error("a sampler without a name");
}

std::int64_t evaluations_per_image(SamplerKind sampler, int steps, double guidance) {
  const std::int64_t times = sampler == SamplerKind::heun ? 2 * std::int64_t{steps} - 1 : steps;
  return guidance == 0 || guidance == 1 ? times : 2 * times;
}

}  // namespace blocktrain::trainer
