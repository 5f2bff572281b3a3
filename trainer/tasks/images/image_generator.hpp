#pragma once
/// Images from a trained network: sampling in batches, with the operations and the time it took.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "blocks/noise/sampler.hpp"
#include "kernels/arena.hpp"
#include "trainer/eval/report_progress.hpp"
#include "trainer/eval/trained_network.hpp"
#include "trainer/tasks/images/image_source.hpp"
#include "trainer/tasks/images/images_options.hpp"

namespace blocktrain::trainer {

struct GenerationSettings {
  int steps = 18;
  SamplerKind sampler = SamplerKind::euler;
  double guidance = 1;
  std::uint64_t seed = 0;
};

struct GeneratedImages {
  std::vector<float> images;     ///< [n, channels, height, width], about [-1, 1], not clamped
  double flops_per_image = 0;    ///< counted: matrix products and attention of every evaluation
  double seconds_per_image = 0;  ///< of rank 0's clock, however many ranks made them
};

/// Makes image i of class labels[i]. It depends on the network, labels[i], `settings` and i alone (its noise is keyed
/// by the seed and i), not on how many others are made; on a GPU up to rounding, for libraries choose how they add by
/// the number of rows. The network's ranks share the batches, which are the same for any number of them.
class ImageGenerator {
 public:
  explicit ImageGenerator(TrainedNetwork& network);

  /// All ranks of the network call together; rank 0 gets the images, the others nothing. Throws as
  /// EvaluationRanks::run().
  GeneratedImages generate(const std::vector<std::int32_t>& labels, const GenerationSettings& settings,
                           const ReportProgress& report = {});

  /// What a generator of `batch` images at a time takes of the device besides the network.
  static std::size_t device_bytes(const ImageShape& shape, std::int64_t batch);

 private:
  /// Images and labels on the device, where the sampler draws the noise too.
  struct Work {
    blocks::Sampler sampler;
    kernels::Tensor labels;
    void bind(kernels::Arena& arena, const ImageShape& shape, std::int64_t batch);
  };

  /// The numbers (float32) of images [begin, begin + count) to `images`; returns the operations they took.
  double make_batch(std::byte* images, const std::int32_t* labels, std::int64_t begin, std::int64_t count,
                    const GenerationSettings& settings);

  TrainedNetwork& network_;
  Work work_;
  std::optional<kernels::Arena> arena_;
};

}  // namespace blocktrain::trainer
