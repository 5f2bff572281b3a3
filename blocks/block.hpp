#pragma once
/// A block: the unit that trains alone (method: section 1, training step). It joins a network and an objective at their
/// place in the whole network, needs nothing of other blocks to take a training step, and is all that a trainer steps,
/// saves, prices, moves and assembles. An end-to-end network is a block of all layers whose interval of noise levels is
/// the whole range. Memory is handed in; nothing here opens a file or talks to another rank.

#include <cstdint>
#include <memory>
#include <vector>

#include "blocks/batch.hpp"
#include "blocks/network.hpp"
#include "blocks/objective.hpp"
#include "blocks/parameters.hpp"
#include "kernels/arena.hpp"
#include "kernels/ops.hpp"
#include "kernels/step_state.hpp"
#include "kernels/tensor.hpp"

namespace blocktrain::blocks {

/// What a training step needs besides the batch.
struct StepSettings {
  std::uint64_t seed = 0;                            ///< of this block
  const kernels::SigmaInterval* interval = nullptr;  ///< noise levels are drawn from; in the memory of the device
  std::int64_t global_batch = 1;                     ///< samples, over which the loss is a mean
  const kernels::StepState* state = nullptr;
  /// Of the first micro-batch of a step `replace`: the gradient need not be cleared, nor read, before.
  kernels::GradientWrite gradient = kernels::GradientWrite::add;
};

/// What a held-out loss needs besides batch and levels. Noise is keyed by (seed, Purpose::evaluation, block 0, step,
/// sample), so every block and the end-to-end network see the same noisy samples.
struct EvaluationSettings {
  std::uint64_t seed = 0;
  const kernels::StepState* state = nullptr;  ///< its step alone is read
};

class Block {
 public:
  /// `layout`: in which network and objective have registered their parameters.
  Block(const BlockPlace& place, std::unique_ptr<Network> network, std::unique_ptr<Objective> objective,
        ParameterLayout layout);

  const BlockPlace& place() const { return place_; }
  const std::vector<Parameter>& parameters() const { return parameters_; }
  /// Elements of the flat parameter vector, padding included.
  std::int64_t parameter_elements() const { return elements_; }
  /// Ranges of the flat parameters on which weight decay does not act, in order.
  const std::vector<kernels::ElementRange>& undecayed() const { return undecayed_; }
  /// Ranges of the flat parameters that all blocks share, in order.
  const std::vector<kernels::ElementRange>& shared() const { return shared_; }
  /// Targets predicted per sample (patches, tokens, labels).
  std::int64_t targets_per_sample() const { return network_->targets_per_sample(); }
  /// Tokens of a sample in the layers (Network::rows_per_sample).
  std::int64_t rows_per_sample() const { return network_->rows_per_sample(); }
  Flops flops() const;
  /// Of estimate(), per sample.
  double estimate_flops() const { return network_->flops().forward + objective_->estimate_flops(); }
  /// What accumulate_gradient of `samples` samples computes a second time (Network::recomputed_flops).
  double recomputed_flops(std::int64_t samples) const { return network_->recomputed_flops(samples); }
  /// Whether estimates without a condition can be had, for guidance.
  bool has_condition() const { return network_->has_condition(); }

  /// Flat parameters to read, of parameter_elements() elements; may be rebound any time (for instance to an average).
  void bind_parameters(const kernels::Tensor& flat);
  /// Flat gradient to write to, of parameter_elements() elements.
  void bind_gradient(const kernels::Tensor& flat);
  /// Takes everything a training step of up to `samples` samples needs from `arena`.
  void bind_training(kernels::Arena& arena, kernels::DType dtype, std::int64_t samples);
  /// Takes what denoise(), estimate() and evaluate() of up to `samples` samples need: far less, activations are not
  /// kept.
  void bind_inference(kernels::Arena& arena, kernels::DType dtype, std::int64_t samples);
  /// Noise levels of a sample; 0: the block is trained without noise, and its noisy targets and levels are empty.
  std::int64_t levels_per_sample() const { return objective_->levels_per_sample(); }
  /// Takes levels of `samples` samples; noisy targets, or what denoise() gives of them; what estimate() gives.
  kernels::Tensor allocate_levels(kernels::Arena& arena, kernels::DType dtype, std::int64_t samples) const;
  kernels::Tensor allocate_noisy(kernels::Arena& arena, kernels::DType dtype, std::int64_t samples) const {
    return objective_->allocate_noisy(arena, dtype, samples);
  }
  kernels::Tensor allocate_estimate(kernels::Arena& arena, kernels::DType dtype, std::int64_t samples) const {
    return objective_->allocate_estimate(arena, dtype, samples);
  }

  /// Forward and backward through this block alone: draws levels and noise for the batch, adds the gradient of the
  /// losses' share of the mean over the global batch into the bound gradient, or puts it there, padding included, as
  /// settings.gradient says, and returns per-sample results (views valid until the next call).
  SampleLosses accumulate_gradient(kernels::Ops& ops, const Batch& batch, const StepSettings& settings);
  /// The part of accumulate_gradient below the draws: levels and noise are used as given, and what is random in the
  /// network is as input.state says. Adds the gradient of loss_scale * sum of the losses.
  SampleLosses accumulate_gradient_at(kernels::Ops& ops, NetworkInput input, double loss_scale);

  /// Draws levels for evaluate().
  void draw_levels(kernels::Ops& ops, const kernels::Tensor& level, const LevelDraw& draw) const {
    objective_->draw_levels(ops, level, draw);
  }
  /// Held-out losses at the given levels, nothing dropped; forward only. Needs bind_inference. The views are valid
  /// until the next call of evaluate.
  SampleLosses evaluate(kernels::Ops& ops, const Batch& batch, const kernels::Tensor& level,
                        const EvaluationSettings& settings);
  /// Makes input.noisy of the targets in input.batch at input.level, with the noise of evaluate(). Needs
  /// bind_inference.
  void add_noise(kernels::Ops& ops, const NetworkInput& input, const EvaluationSettings& settings) const;
  /// What is under the noise of input.noisy at input.level, given the conditions in input.batch: d as samplers step by
  /// it (Objective::denoise), or the answer (Objective::estimate). Both need bind_inference.
  void denoise(kernels::Ops& ops, const kernels::Tensor& d, const NetworkInput& input);
  void estimate(kernels::Ops& ops, const kernels::Tensor& answer, const NetworkInput& input);

 private:
  /// Tensors of a pass over up to loss.dim(0) samples; in inference all but the losses are of one chunk.
  struct Memory {
    kernels::Tensor noisy, level, out, dnoisy;
    kernels::Tensor loss, unweighted;
  };

  void bind_losses(kernels::Arena& arena, kernels::DType dtype, std::int64_t samples, Memory& memory) const;
  SampleLosses train(kernels::Ops& ops, const NetworkInput& input, double loss_scale, kernels::GradientWrite write);
  /// F of one chunk of samples, in inference_.out.
  kernels::Tensor infer(kernels::Ops& ops, const NetworkInput& input);
  /// Calls read(part, F, samples) for one chunk of the input after the other.
  template <class Read>
  void infer_all(kernels::Ops& ops, const NetworkInput& input, const Read& read);

  BlockPlace place_;
  std::unique_ptr<Network> network_;
  std::unique_ptr<Objective> objective_;
  std::int64_t elements_;
  std::shared_ptr<ParameterTensors> tensors_;
  std::vector<Parameter> parameters_;
  std::vector<kernels::ElementRange> padding_, undecayed_, shared_;  // between them; and among them
  kernels::Tensor gradient_;                                         // flat
  Memory training_, inference_;
};

}  // namespace blocktrain::blocks
