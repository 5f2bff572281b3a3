#pragma once
/// What `blocktrain eval` measures of a run, and of a second run beside it: held-out denoising losses by noise level,
/// and generated images, judged by a classifier and by distances to real images. Everything is keyed by the config and
/// does not depend on threads, nor on how many ranks share the work; only seconds do.

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/eval/denoising_losses.hpp"
#include "trainer/eval/eval_head.hpp"
#include "trainer/eval/eval_progress.hpp"
#include "trainer/eval/trained_network.hpp"
#include "trainer/tasks/images/image_classifier.hpp"
#include "trainer/tasks/images/images_options.hpp"

namespace blocktrain::trainer {

/// Frechet distances of a set of images to real ones (frechet.hpp).
struct FrechetDistances {
  double pixels_training = 0, pixels_heldout = 0;      ///< in pixel space
  double features_training = 0, features_heldout = 0;  ///< between features of the classifier's last hidden layer
};

/// Images generated with one number of sampling steps.
struct GenerationResult {
  int steps = 0;
  double agreement = 0;  ///< share of images that the classifier takes for the class asked for
  FrechetDistances frechet;
  double flops_per_image = 0;             ///< counted while sampling
  double end_to_end_flops_per_image = 0;  ///< of the same network run whole at every step
  double seconds_per_image = 0;
};

struct NetworkResult : EvaluatedNetwork {
  DenoisingLosses denoising;
  std::vector<GenerationResult> generation;  ///< in the order of eval.steps
};

struct ClassifierResult {
  ClassifierSettings settings;
  std::int64_t parameters = 0;
  double heldout_accuracy = 0, training_accuracy = 0;
};

struct EvalResult : EvalHead {
  std::int64_t training_images_compared = 0, heldout_images_compared = 0;  ///< of which distances are measured from
  int samples = 0;
  double guidance = 1;
  SamplerKind sampler = SamplerKind::euler;
  std::uint64_t seed = 0;
  std::string pixel_space;
  std::int64_t pixel_dimensions = 0, feature_dimensions = 0;
  ClassifierResult classifier;
  double floor_pixels = 0, floor_features = 0;  ///< Frechet distances of held-out to training images
  NetworkResult run;
  std::vector<NetworkResult> twin;  ///< none or one

  /// Whether some set of images has fewer members than its vectors have numbers: its covariance is singular then.
  bool fewer_images_than_dimensions() const;
};

/// Measures `run` and, when not null, `twin` beside it, as run's eval.* says. All ranks of the networks, the same ones,
/// call together; rank 0 trains the judge and gets the results, what the others get lacks them. Throws InputError where
/// the data are not those of the run or too few, RunError as EvaluationRanks::run().
EvalResult evaluate_run(TrainedNetwork& run, TrainedNetwork* twin, EvalProgress& progress);

/// Network evaluations that a sampler makes for one image.
std::int64_t evaluations_per_image(SamplerKind sampler, int steps, double guidance);

}  // namespace blocktrain::trainer
