#pragma once
/// What a vit computes for a few inputs.

#include <optional>
#include <vector>

#include "kernels/arena.hpp"
#include "kernels/tensor.hpp"
#include "trainer/export/architecture_export.hpp"

namespace blocktrain::trainer {

/// Tensors, for K noisy inputs, S images [channels, height, width], d the width of an embedding and V classes:
///   evaluate.image [K, ..], evaluate.z [K,d], evaluate.sigma [K] float64
///   evaluate.logits [K,V]     by the block that owns sigma
///   classify.image [S, ..], classify.noise [S,d] standard normal, classify.levels [steps + 1] float64, of metadata
///                             "steps"
///   classify.logits [S,V]     by the assembled network: Euler steps from noise, and the answer at the last level
/// Noisy inputs are drawn as an answer starts: z = hypot(1 / sqrt(d), sigma) * n. Every block has some at the upper end
/// of its interval and inside it; sigma_min is there too. Of a network without noise there are classify.image and
/// classify.logits alone.
class VitReference final : public Reference {
 public:
  explicit VitReference(TrainedNetwork& network);

  std::vector<NamedTensor> tensors() const override;
  Metadata metadata() const override;

 private:
  void allocate(kernels::Arena& arena, const TrainedNetwork& network, std::int64_t levels);
  void draw_inputs(TrainedNetwork& network, const std::vector<double>& sigmas);
  void evaluate(TrainedNetwork& network);
  void classify(TrainedNetwork& network);

  std::optional<kernels::Arena> arena_;
  kernels::Tensor evaluated_image_, z_, sigma_, evaluated_;
  kernels::Tensor image_, noise_, levels_, logits_;
  kernels::Tensor at_, d_;  // of one image, while it is classified
};

}  // namespace blocktrain::trainer
