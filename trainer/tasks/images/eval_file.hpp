#pragma once
/// RUN/eval.json: what `blocktrain eval` found.
///
/// Format "blocktrain-eval", version 1. One JSON object; losses are means over images, shares are 0 to 1, FLOPs count
/// matrix products and attention (a multiply-add is two).
///
///   format, version, program (name and version), time (seconds since 1970), seconds (the evaluation took), ranks (that
///               shared the work; files of one process alone may lack it)
///   data        path, digest, training_images, heldout_images
///   settings    images (held-out, per loss), samples (generated, per number of steps), sampler, guidance, seed
///   classifier  the judge, trained on the training images: architecture, hidden, parameters, steps, seed,
///   heldout_accuracy,
///               training_accuracy
///   frechet     how the distances are measured: kind (what the number is), pixel_space, pixel_dimensions,
///               feature_dimensions, training_images, heldout_images (the real images compared with), samples,
///               covariance_singular (true: some set has fewer images than dimensions), floor_pixels, floor_features
///               (of real held-out images to real training images)
///   run         folder, summary, computed_on (device and type, of the network; the judge is always on the CPU),
///               training ("block_local" or "end_to_end"), experiment, steps (behind each block's weights),
///               parameters, and
///     denoising   images, draws_per_image, loss, mse: means over the blocks' own intervals;
///                 blocks: [{block, sigma: [lo, hi], loss, mse}], each over the interval it owns;
///                 levels: [{sigma, block, edge, loss, mse}] from the highest sigma; edge: where two blocks meet.
///                 loss has the EDM weight (sigma^2 + sigma_data^2) / (sigma sigma_data)^2, mse none
///     generation  [{steps, agreement, frechet_pixels_training, frechet_pixels_heldout, frechet_features_training,
///                 frechet_features_heldout, flops_per_image, end_to_end_flops_per_image, seconds_per_image}]
///   twin        null, or the same of the run given as --twin: same images, levels, noise and judge
///
/// Version 1 readers skip fields that they do not know.

#include <string>

#include "trainer/tasks/images/evaluation.hpp"

namespace blocktrain::trainer {

/// The text of eval.json.
std::string to_json(const EvalResult& result);

}  // namespace blocktrain::trainer
