#pragma once
/// Images from a trained network: sampling in batches, with the operations and the time it took.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "blocks/sampler.hpp"
#include "kernels/arena.hpp"
#include "trainer/eval/trained_network.hpp"

namespace blocktrain::trainer {

struct GenerationSettings {
  int steps = 18;
  SamplerKind sampler = SamplerKind::euler;
  double guidance = 1;
  std::uint64_t seed = 0;
};

struct GeneratedImages {
  std::vector<float> images;   ///< [n, channels, height, width], about [-1, 1], not clamped
  double flops_per_image = 0;  ///< counted: matrix products and attention of every evaluation
  double seconds_per_image = 0;
};

/// How much of some work is done.
using ReportProgress = std::function<void(std::int64_t done, std::int64_t total)>;

/// Makes image i of class labels[i]. It depends on the network, labels[i], `settings` and i alone (its noise is keyed
/// by the seed and i), not on how many others are made; on a GPU up to rounding, for libraries choose how they add by
/// the number of rows.
class ImageGenerator {
 public:
  explicit ImageGenerator(TrainedNetwork& network);

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

  TrainedNetwork& network_;
  Work work_;
  std::optional<kernels::Arena> arena_;
};

}  // namespace blocktrain::trainer
