#pragma once
/// What a block is trained for: which levels and noise are drawn, what is lost of the network's output, and what that
/// output estimates (method: section 1, training step). An objective knows nothing of the layers between noise and
/// output. It may own parameters of its own: a table of target embeddings, a head whose logits never exist whole.
/// Implementations stand in blocks/objectives/.

#include <cstdint>

#include "blocks/batch.hpp"
#include "blocks/network.hpp"
#include "kernels/arena.hpp"
#include "kernels/ops.hpp"
#include "kernels/random.hpp"
#include "kernels/step_state.hpp"
#include "kernels/tensor.hpp"

namespace blocktrain::blocks {

/// From what the levels of a batch are drawn, and by which numbers.
struct LevelDraw {
  const kernels::SigmaInterval* interval = nullptr;  ///< in the memory of the device
  kernels::RandomKey key;
  const kernels::StepState* state = nullptr;
  std::uint32_t first_sample = 0;  ///< index of sample 0 in the global batch
  std::int64_t of_samples = 0;     ///< samples of the global batch, for draws that are stratified over it
};

/// Results of a micro-batch, per sample.
struct SampleLosses {
  kernels::Tensor level;       ///< [N] or [N,K]; empty without noise
  kernels::Tensor loss;        ///< [N] as it is trained, weighted
  kernels::Tensor unweighted;  ///< [N]
};

/// Where the gradients of a loss go; empty tensors are not wanted.
struct LossGradients {
  kernels::Tensor out;    ///< of the network's output; may be that output's own memory
  kernels::Tensor noisy;  ///< of the noisy input, as far as the loss reads it past the network; overwritten
};

class Objective {
 public:
  virtual ~Objective() = default;

  /// What the head costs; the network's own operations are apart.
  virtual Flops flops() const { return {}; }
  /// Of estimate(), per sample, where that is not what the loss's forward pass costs.
  virtual double estimate_flops() const { return flops().forward; }
  /// Levels of a sample: 1, one per chunk, or 0 for an objective without noise.
  virtual std::int64_t levels_per_sample() const { return 1; }
  /// Whether it trains what the noisy target is made of, for which it needs the gradient of the noisy input.
  virtual bool trains_target() const { return false; }

  /// Takes what a pass over up to `samples` samples needs; inputs of that pass are computed with it
  /// (NetworkInput::pass).
  virtual void bind(kernels::Arena&, kernels::DType, std::int64_t, Pass) {}
  /// Takes a noisy target of `samples` samples; empty for an objective without noise.
  virtual kernels::Tensor allocate_noisy(kernels::Arena& arena, kernels::DType dtype, std::int64_t samples) const = 0;
  /// Takes what estimate() gives of `samples` samples.
  virtual kernels::Tensor allocate_estimate(kernels::Arena& arena, kernels::DType dtype, std::int64_t samples) const {
    return allocate_noisy(arena, dtype, samples);
  }

  /// Begins a pass: computes what follows from its own parameters alone, which all that is asked of it until the next
  /// one reads.
  virtual void begin(kernels::Ops&, Pass) {}
  /// Draws `level` of each sample.
  virtual void draw_levels(kernels::Ops& ops, const kernels::Tensor& level, const LevelDraw& draw) const = 0;
  /// Makes input.noisy of the targets in input.batch at input.level, by the numbers of `key`.
  virtual void add_noise(kernels::Ops& ops, const NetworkInput& input, const kernels::RandomKey& key,
                         const kernels::StepState* state) const = 0;
  /// losses.loss and losses.unweighted of the network's output `out`, and the gradients of loss_scale * sum of the
  /// losses: those of its own parameters are written as `write` says, where gradients.out is wanted.
  virtual void loss(kernels::Ops& ops, const SampleLosses& losses, const LossGradients& gradients,
                    const kernels::Tensor& out, const NetworkInput& input, double loss_scale,
                    kernels::GradientWrite write) = 0;
  /// Writes the gradients of what the noisy target is made of, from that of the noisy input, to which the network has
  /// added its part: the last word of a micro-batch. Called where trains_target().
  virtual void finish(kernels::Ops&, const kernels::Tensor& /*dnoisy*/, const NetworkInput&, kernels::GradientWrite) {}

  /// answer = what the network's output says of the target: the target itself where that is continuous, else logits.
  virtual void estimate(kernels::Ops& ops, const kernels::Tensor& answer, const NetworkInput& input,
                        const kernels::Tensor& out) = 0;
  /// d = the expected target, in the shape of the noisy one, for samplers to step by. The same as estimate() where the
  /// target is continuous.
  virtual void denoise(kernels::Ops& ops, const kernels::Tensor& d, const NetworkInput& input,
                       const kernels::Tensor& out) {
    estimate(ops, d, input, out);
  }
};

}  // namespace blocktrain::blocks
