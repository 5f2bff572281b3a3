#pragma once
/// A transformer layer with adaLN-Zero, as in DiT (Peebles & Xie 2023; method: section 1, noise conditioning):
///   (shift1, scale1, gate1, shift2, scale2, gate2) = modulation(SiLU(c))
///   x1 = x  + gate1 * projection(attention(qkv(modulate(norm(x), shift1, scale1))))
///   y  = x1 + gate2 * output(GELU(input(modulate(norm(x1), shift2, scale2))))
/// Without a conditioning the modulations are learnt constants and the gates 1 (modulation.hpp): a plain transformer
/// layer. q and k may be turned to their tokens' positions. The outputs of projection and MLP go through dropout. Of a
/// forward pass only what is dear to compute again is
/// kept: 11 C numbers per token; modulated norms, x1 and the GELU are computed again in the backward pass, unless
/// LayerShape::keeps_cheap keeps them too, 18 C numbers. With activation checkpointing it is the input alone, C numbers
/// per token.

#include <cstdint>
#include <string>

#include "blocks/layers/dropout.hpp"
#include "blocks/layers/layer_scratch.hpp"
#include "blocks/layers/linear.hpp"
#include "blocks/layers/modulation.hpp"

namespace blocktrain::blocks {

/// A modulated norm, and what its backward pass reads besides.
struct NormActivations {
  kernels::Tensor out;         ///< [N,T,C]
  kernels::Tensor mean, rstd;  ///< [N,T]
};

/// What the backward pass of a layer reads, of N samples with T tokens of width C.
struct LayerActivations {
  kernels::Tensor input;        ///< x [N,T,C]; empty as allocated: rows() puts it beside the rest
  kernels::Tensor modulation;   ///< [N,6C]
  kernels::Tensor qkv;          ///< [N,T,3C]
  kernels::Tensor attention;    ///< [N,T,C]
  kernels::Tensor log_sum_exp;  ///< [N,heads,T]
  kernels::Tensor projection;   ///< [N,T,C]
  kernels::Tensor hidden;       ///< [N,T,hidden] before the GELU
  kernels::Tensor output;       ///< [N,T,C] of the MLP
  // Empty where they are computed again:
  NormActivations attention_norm, mlp_norm;
  kernels::Tensor x1;    ///< [N,T,C]
  kernels::Tensor gelu;  ///< [N,T,hidden]

  /// All but `input`, which has to outlast the rest when that is shared by layers; what is cheap only `with_cheap`.
  static LayerActivations allocate(kernels::Arena& arena, kernels::DType dtype, const LayerShape& shape,
                                   std::int64_t samples, bool with_cheap);
  /// For a forward pass without a backward pass: all layers in the same memory. `input` and `attention` [n,T,C],
  /// log_sum_exp [n,heads,T] and scratch.modulation are used, the rest lies in scratch.narrow and scratch.wide: no two
  /// that share a place are needed at a time.
  static LayerActivations transient(const LayerShape& shape, const kernels::Tensor& input,
                                    const kernels::Tensor& attention, const kernels::Tensor& log_sum_exp,
                                    const LayerScratch& scratch);
  /// The same for samples [begin, end), whose input is `in`.
  LayerActivations rows(std::int64_t begin, std::int64_t end, const kernels::Tensor& in) const;
};

/// What a layer reads of the samples at hand beside their stream.
struct LayerContext {
  kernels::Tensor conditioning;  ///< as Modulation::forward
  Dropout dropout;
  kernels::Tensor angles;  ///< of rotary positions (Ops::rotary) [T,D]; empty: positions are not the layer's
};

class TransformerLayer {
 public:
  /// Registers the parameters of layer `index` of the whole network, "layers.INDEX...".
  TransformerLayer(ParameterLayout& layout, const LayerShape& shape, int index);

  /// next[n,T,C] from kept.input, filling the rest of `kept`. `next` may be kept.input; kept.gelu may be kept.hidden
  /// when no backward follows. What is not kept lies in scratch.flow, scratch.narrow and, of the GELU, scratch.wide:
  /// there it is when backward() comes next.
  void forward(kernels::Ops& ops, const kernels::Tensor& next, const LayerActivations& kept,
               const LayerContext& context, const LayerScratch& scratch) const;

  /// Fills `kept`, in which nothing cheap is, from kept.input with the bits that forward() gave it, and scratch.wide
  /// with the GELU. Leaves scratch.flow alone; uses scratch.narrow.
  void forward_again(kernels::Ops& ops, const LayerActivations& kept, const LayerContext& context,
                     const LayerScratch& scratch) const;

  /// Takes scratch.flow from the gradient of `next` to that of kept.input, adds the gradient of SiLU(c) into
  /// dconditioning [n,C] and writes those of the parameters to the bound gradient. With LayerShape::keeps_cheap it
  /// reads the GELU, in scratch.wide where it is not kept. Uses all of scratch and destroys `kept`, but for its input
  /// and q, k, v.
  void backward(kernels::Ops& ops, const kernels::Tensor& dconditioning, const LayerActivations& kept,
                const LayerContext& context, const LayerScratch& scratch, kernels::GradientWrite write) const;

  /// Forward, matrix products: per token and per sample; and attention, per sample.
  double flops_per_token() const;
  double flops_per_sample() const { return modulation_.flops_per_sample(); }
  double attention_flops(std::int64_t tokens) const;

 private:
  /// Columns of shift, scale and gate in the modulation: 0, 1, 2 for attention, 3, 4, 5 for the MLP.
  kernels::Tensor part(const kernels::Tensor& modulation, int i) const;

  /// The GELU of n samples, or its gradient.
  kernels::Tensor gelu_of(const LayerActivations& kept, const LayerScratch& scratch) const;
  /// Forward up to what is added to x1 [n,T,C] in the end. `x1` may be kept.output, and is then gone.
  void branches(kernels::Ops& ops, const LayerActivations& kept, const kernels::Tensor& x1, const LayerContext& context,
                const LayerScratch& scratch) const;
  void backward_mlp(kernels::Ops& ops, const LayerActivations& kept, const LayerContext& context,
                    const LayerScratch& scratch, kernels::GradientWrite write) const;
  void backward_attention(kernels::Ops& ops, const LayerActivations& kept, const LayerContext& context,
                          const LayerScratch& scratch, kernels::GradientWrite write) const;

  int index_;  // of the layer in the whole network
  std::int64_t width_, hidden_;
  int heads_;
  bool keeps_cheap_;
  Modulation modulation_;
  Linear qkv_, projection_, mlp_input_, mlp_output_;
};

/// Epsilon of every normalisation in the network.
inline constexpr double norm_epsilon = 1e-6;

}  // namespace blocktrain::blocks
