#pragma once
/// The transformer layers of a block, one behind the other, with what they keep from forward to backward: all that is
/// dear to compute, or with activation checkpointing the input of each layer alone.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "blocks/activation_checkpointing.hpp"
#include "blocks/batch.hpp"
#include "blocks/layers/layer_scratch.hpp"
#include "blocks/layers/transformer_layer.hpp"
#include "blocks/network.hpp"

namespace blocktrain::blocks {

class LayerStack {
 public:
  /// `count` layers, the first of which is layer `first` of the whole network. About `rows_at_once` tokens run through
  /// them together: enough for the matrix products to be efficient, few enough for scratch to stay small.
  LayerStack(ParameterLayout& layout, const LayerShape& shape, ActivationCheckpointing checkpointing,
             std::int64_t rows_at_once, int first, int count);

  /// As Network::samples_at_once().
  std::int64_t samples_at_once(std::int64_t samples) const;
  /// Takes what micro-batches of up to `samples` samples need, and scratch for embedding and head, which take and give
  /// `columns` numbers per token. angles: of rotary positions, as LayerContext has them; they stay.
  void bind(kernels::Arena& arena, kernels::DType dtype, std::int64_t columns, std::int64_t samples, Pass pass,
            const kernels::Tensor& angles = {});

  /// Begins a micro-batch.
  void begin(std::int64_t samples, Pass pass, const Dropout& dropout = {});
  /// Where the first layer reads, and where the last one writes [n,T,C].
  kernels::Tensor input(Range r) const { return stream(0, r); }
  kernels::Tensor output(Range r) const { return stream(layers_.size(), r); }
  /// Of n samples at a time; between forward() and the next call of this stack free for embedding and head.
  LayerScratch scratch(Range r) const { return memory().scratch.first(r.size()); }

  /// From input() to output(). conditioning: of these samples, as Modulation::forward.
  void forward(kernels::Ops& ops, const kernels::Tensor& conditioning, Range r) const;
  /// Takes scratch().flow from the gradient of output() to that of input(), adds the gradient of SiLU(c) into
  /// dconditioning [n,C] and writes those of the parameters.
  void backward(kernels::Ops& ops, const kernels::Tensor& dconditioning, const kernels::Tensor& conditioning, Range r,
                kernels::GradientWrite write) const;

  /// Forward, of one sample: matrix products, whose gradients cost two more, and attention, whose cost two and a half.
  double product_flops() const;
  double attention_flops() const;
  /// As Network::recomputed_flops().
  double recomputed_flops(std::int64_t samples) const;

 private:
  struct Memory {
    std::vector<kernels::Tensor> streams;  // [N,T,C] in front of each layer and behind the last; in inference one
    // The rest of each layer; with checkpointing a single one, of a chunk, in which the layers take turns.
    std::vector<LayerActivations> layers;
    kernels::Tensor attention, log_sum_exp;  // in inference, of a chunk
    LayerScratch scratch;                    // of a chunk
    kernels::Tensor angles;
  };

  bool checkpoints() const { return checkpointing_ == ActivationCheckpointing::layer; }
  /// Layers whose forward pass is repeated for their backward pass, when `samples` train together. In one chunk the
  /// last layer's activations are still there: nothing has run in their memory since.
  std::size_t layers_run_again(std::int64_t samples) const;
  const Memory& memory() const { return pass_ == Pass::training ? training_ : inference_; }
  kernels::Tensor stream(std::size_t i, Range r) const;
  LayerActivations activations(std::size_t i, Range r) const;
  LayerContext context(const kernels::Tensor& conditioning, Range r) const {
    return {conditioning, dropout_.from(r.begin), memory().angles};
  }

  LayerShape shape_;
  ActivationCheckpointing checkpointing_;
  std::int64_t rows_at_once_;
  std::vector<TransformerLayer> layers_;
  Memory training_, inference_;
  std::int64_t samples_ = 0;  // of the micro-batch
  Dropout dropout_;
  Pass pass_ = Pass::inference;
};

}  // namespace blocktrain::blocks
