#pragma once
/// The objective of a block with continuous targets: what it is given to denoise, and the loss of what it puts out
/// (method: section 1, preconditioning and training step). Knows nothing of the network between the two; objectives
/// with target embeddings and logits will stand beside it.

#include <cstdint>

#include "blocks/denoiser.hpp"

namespace blocktrain::blocks {

class DenoisingObjective {
 public:
  explicit DenoisingObjective(double sigma_data) : sigma_data_(sigma_data) {}

  /// sigma [N] from the block's interval and z = y + sigma*eps, by the numbers of (seed, block, step, sample).
  void draw(kernels::Ops& ops, const kernels::Tensor& z, const kernels::Tensor& sigma, const Batch& batch,
            const StepSettings& settings, int block) const;

  /// Per-sample loss and mse [N]; df = gradient of loss_scale * sum of the losses with respect to F (may take the place
  /// of f; skipped when empty). Images of any rank, N in dimension 0.
  void loss(kernels::Ops& ops, const SampleLosses& out, const kernels::Tensor& df, const NoisyBatch& batch,
            const kernels::Tensor& f, kernels::LossWeighting weighting, double loss_scale) const;

  /// The denoised estimate D of z from the network's output F.
  void estimate(kernels::Ops& ops, const kernels::Tensor& d, const kernels::Tensor& z, const kernels::Tensor& f,
                const kernels::Tensor& sigma) const;

 private:
  double sigma_data_;
};

/// [N, ...] as a matrix of one row per sample.
inline kernels::Tensor sample_rows(const kernels::Tensor& t) {
  return t.empty() ? t : t.reshaped({t.dim(0), t.row_size()});
}

}  // namespace blocktrain::blocks
