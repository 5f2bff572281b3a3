#pragma once
/// A block: the unit that trains alone. It owns its layers and everything private to it (embeddings, noise
/// conditioning, output layer), knows its noise interval, and needs nothing of other blocks to take a training
/// step (method: section 1, training step). An end-to-end network is a Denoiser of all layers whose interval
/// is the whole noise range. Memory is handed in; nothing here opens a file or talks to another rank.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/arena.hpp"
#include "kernels/ops.hpp"
#include "kernels/step_state.hpp"
#include "kernels/tensor.hpp"

namespace blocktrain::blocks {

/// Where a block stands in the whole network.
struct BlockPlace {
  int index = 0;        ///< b, 0 has the highest noise
  int count = 1;        ///< B; 1 for an end-to-end network
  int first_layer = 0;  ///< index in the whole network
  int layers = 1;
};

/// One named parameter tensor inside the flat vector of its block.
struct Parameter {
  std::string name;  ///< e.g. "layers.5.attention.qkv.weight": place in the whole network
  std::vector<std::int64_t> shape;
  std::int64_t offset = 0;  ///< first element in the flat vector; a multiple of 16
  std::int64_t size = 0;
  bool decays = false;  ///< weight decay applies (matrices; not biases or tables)
  /// Initial value: uniform in [-bound, bound], or normal with this deviation; both 0: zeros.
  double uniform_bound = 0;
  double normal_deviation = 0;
};

/// One micro-batch, in the memory of the device. N samples.
struct Batch {
  kernels::Tensor target;          ///< y: images [N, channels, height, width]
  kernels::Tensor label;           ///< int32 [N]
  std::uint32_t first_sample = 0;  ///< index of sample 0 in the global batch: keys its random numbers
};

/// What a training step needs besides the batch.
struct StepSettings {
  std::uint64_t seed = 0;                            ///< of this block
  const kernels::SigmaInterval* interval = nullptr;  ///< noise levels are drawn from; in the memory of the device
  kernels::LossWeighting weighting = kernels::LossWeighting::edm;
  double loss_scale = 1;  ///< 1 / (samples of the global batch)
  const kernels::StepState* state = nullptr;
  /// Of the first micro-batch of a step `replace`: the gradient need not be cleared, nor read, before.
  kernels::GradientWrite gradient = kernels::GradientWrite::add;
};

/// What a held-out loss needs besides the batch. Noise is keyed by (seed, Purpose::evaluation, block 0, step, sample),
/// so every block and the end-to-end network see the same noisy samples.
struct EvaluationSettings {
  std::uint64_t seed = 0;
  kernels::LossWeighting weighting = kernels::LossWeighting::edm;
  const kernels::StepState* state = nullptr;  ///< its step alone is read
};

/// A micro-batch with its noise already in it, in the memory of the device. N samples.
struct NoisyBatch {
  kernels::Tensor noisy;   ///< z = y + sigma*eps, shaped like target
  kernels::Tensor target;  ///< y: images [N, channels, height, width]
  kernels::Tensor sigma;   ///< [N]
  kernels::Tensor label;   ///< int32 [N], -1 for "none"
};

/// Per-sample results of a micro-batch; tensors [N] of the ops' type.
struct SampleLosses {
  kernels::Tensor sigma, loss, mse;
};

/// Floating-point operations per sample (a multiply-add counts two), matrix products and attention alone.
struct Flops {
  double forward = 0;
  double training = 0;  ///< forward and backward
};

class Denoiser {
 public:
  virtual ~Denoiser() = default;

  virtual const BlockPlace& place() const = 0;
  virtual const std::vector<Parameter>& parameters() const = 0;
  /// Elements of the flat parameter vector, padding included.
  virtual std::int64_t parameter_elements() const = 0;
  /// Ranges of the flat parameters on which weight decay does not act, in order.
  virtual const std::vector<kernels::ElementRange>& undecayed() const = 0;
  /// Targets predicted per sample (patches).
  virtual std::int64_t tokens_per_sample() const = 0;
  virtual Flops flops() const = 0;
  /// What accumulate_gradient of `samples` samples computes a second time to save memory, over all of them; it comes on
  /// top of flops().training, which is the work of the network itself.
  virtual double recomputed_flops(std::int64_t samples) const = 0;

  /// Flat parameters to read, of parameter_elements() elements; may be rebound any time (for instance to an average).
  virtual void bind_parameters(const kernels::Tensor& flat) = 0;
  /// Flat gradient to write to, of parameter_elements() elements.
  virtual void bind_gradient(const kernels::Tensor& flat) = 0;
  /// Takes everything a training step of up to `samples` samples needs from `arena`.
  virtual void bind_training(kernels::Arena& arena, kernels::DType dtype, std::int64_t samples) = 0;
  /// Takes what denoise() and evaluate() of up to `samples` samples need: far less, activations are not kept.
  virtual void bind_inference(kernels::Arena& arena, kernels::DType dtype, std::int64_t samples) = 0;

  /// Forward and backward through this block alone: draws sigma and noise for the batch, adds the gradient of
  /// loss_scale * sum of the weighted losses into the bound gradient, or puts it there, padding included, as
  /// settings.gradient says, and returns per-sample results (views valid until the next call).
  virtual SampleLosses accumulate_gradient(kernels::Ops& ops, const Batch& batch, const StepSettings& settings) = 0;

  /// The part of accumulate_gradient below everything random: noise and labels are used as given.
  virtual SampleLosses accumulate_gradient_at(kernels::Ops& ops, const NoisyBatch& batch,
                                              kernels::LossWeighting weighting, double loss_scale) = 0;

  /// Held-out losses at the given noise levels sigma [N], labels not dropped; forward only. Needs bind_inference.
  /// The views are valid until the next call of evaluate.
  virtual SampleLosses evaluate(kernels::Ops& ops, const Batch& batch, const kernels::Tensor& sigma,
                                const EvaluationSettings& settings) = 0;

  /// d = D(z; sigma, label), the denoised estimate. z, d [N, channels, height, width]; sigma [N]; label int32 [N], -1
  /// for "none".
  virtual void denoise(kernels::Ops& ops, const kernels::Tensor& d, const kernels::Tensor& z,
                       const kernels::Tensor& sigma, const kernels::Tensor& label) = 0;
};

}  // namespace blocktrain::blocks
