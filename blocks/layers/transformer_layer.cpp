#include "blocks/layers/transformer_layer.hpp"

namespace blocktrain::blocks {

using kernels::GradientWrite;
using kernels::Ops;
using kernels::Tensor;

LayerActivations LayerActivations::allocate(kernels::Arena& arena, kernels::DType dtype, const LayerShape& shape,
                                            std::int64_t samples, bool with_cheap) {
  const std::int64_t tokens = shape.tokens, width = shape.width;
  const auto rows_of = [&](std::int64_t columns) { return arena.allocate(dtype, {samples, tokens, columns}); };
  LayerActivations a;
  a.modulation = arena.allocate(dtype, {samples, 6 * width});
  a.qkv = rows_of(3 * width);
  a.attention = rows_of(width);
  a.log_sum_exp = arena.allocate(kernels::precise(dtype), {samples, shape.heads, tokens});
  a.projection = rows_of(width);
  a.hidden = rows_of(shape.hidden);
  a.output = rows_of(width);
  if (!with_cheap) return a;
  for (NormActivations* norm : {&a.attention_norm, &a.mlp_norm}) {
    norm->out = rows_of(width);
    norm->mean = arena.allocate(kernels::precise(dtype), {samples, tokens});
    norm->rstd = arena.allocate(kernels::precise(dtype), {samples, tokens});
  }
  a.x1 = rows_of(width);
  a.gelu = rows_of(shape.hidden);
  return a;
}

LayerActivations LayerActivations::transient(const LayerShape& shape, const Tensor& input, const Tensor& attention,
                                             const Tensor& log_sum_exp, const LayerScratch& scratch) {
  const std::int64_t samples = input.dim(0), tokens = input.dim(1);
  LayerActivations a;
  a.input = input;
  a.modulation = scratch.modulation;
  a.qkv = scratch.wide_as(samples, tokens, 3 * shape.width);
  a.attention = attention;
  a.log_sum_exp = log_sum_exp;
  a.projection = scratch.narrow;
  a.hidden = scratch.wide_as(samples, tokens, shape.hidden);
  a.output = scratch.narrow;
  a.gelu = a.hidden;
  return a;
}

LayerActivations LayerActivations::rows(std::int64_t begin, std::int64_t end, const Tensor& in) const {
  BLOCKTRAIN_EXPECTS(in.dim(0) == end - begin);
  const auto part = [=](const Tensor& t) { return t.empty() ? Tensor() : t.rows(begin, end); };
  const auto norm = [&](const NormActivations& n) { return NormActivations{part(n.out), part(n.mean), part(n.rstd)}; };
  return {in,
          part(modulation),
          part(qkv),
          part(attention),
          part(log_sum_exp),
          part(projection),
          part(hidden),
          part(output),
          norm(attention_norm),
          norm(mlp_norm),
          part(x1),
          part(gelu)};
}

namespace {

std::string layer_name(int index, const char* part) { return "layers." + std::to_string(index) + "." + part; }

/// Where a modulated norm goes.
NormActivations kept_or_scratch(const NormActivations& kept, const LayerScratch& scratch) {
  return kept.out.empty() ? NormActivations{scratch.narrow, scratch.mean, scratch.rstd} : kept;
}

/// Turns q and k in packed[n,T,3C] to the positions of their tokens, or their gradients back. They lie beside each
/// other, so all their heads turn at once.
void turn(Ops& ops, const Tensor& packed, const Tensor& angles, bool inverse) {
  if (angles.empty()) return;
  const std::int64_t rows = packed.dim(0) * packed.dim(1), columns = packed.dim(2);
  const Tensor qk = packed.reshaped({rows, columns}).columns(0, columns / 3 * 2);
  ops.rotary(qk, qk, angles, inverse);
}

}  // namespace

TransformerLayer::TransformerLayer(ParameterLayout& layout, const LayerShape& shape, int index)
    : index_(index),
      width_(shape.width),
      hidden_(shape.hidden),
      heads_(shape.heads),
      keeps_cheap_(shape.keeps_cheap),
      modulation_(layout, layer_name(index, "modulation"), layer_name(index, "norms"), width_, 6, {2, 5},
                  shape.conditioned),
      qkv_(layout, layer_name(index, "attention.qkv"), 3 * width_, width_, Linear::Start::xavier),
      projection_(layout, layer_name(index, "attention.projection"), width_, width_, Linear::Start::xavier),
      mlp_input_(layout, layer_name(index, "mlp.input"), hidden_, width_, Linear::Start::xavier),
      mlp_output_(layout, layer_name(index, "mlp.output"), width_, hidden_, Linear::Start::xavier) {}

Tensor TransformerLayer::part(const Tensor& modulation, int i) const {
  return modulation.columns(i * width_, (i + 1) * width_);
}

Tensor TransformerLayer::gelu_of(const LayerActivations& kept, const LayerScratch& scratch) const {
  return kept.gelu.empty() ? scratch.wide_as(kept.input.dim(0), kept.input.dim(1), hidden_) : kept.gelu;
}

void TransformerLayer::forward(Ops& ops, const Tensor& next, const LayerActivations& kept, const LayerContext& context,
                               const LayerScratch& scratch) const {
  const Tensor& x1 = kept.x1.empty() ? scratch.flow : kept.x1;
  branches(ops, kept, x1, context, scratch);
  ops.gated_residual_forward(next, x1, kept.output, part(kept.modulation, 5));
}

void TransformerLayer::forward_again(Ops& ops, const LayerActivations& kept, const LayerContext& context,
                                     const LayerScratch& scratch) const {
  BLOCKTRAIN_EXPECTS(kept.x1.empty());
  // The gradient lies in scratch.flow now. x1 is read no more once the MLP's output takes its place.
  branches(ops, kept, kept.output, context, scratch);
}

void TransformerLayer::branches(Ops& ops, const LayerActivations& kept, const Tensor& x1, const LayerContext& context,
                                const LayerScratch& scratch) const {
  const Tensor& m = kept.modulation;
  modulation_.forward(ops, m, context.conditioning);

  const NormActivations first = kept_or_scratch(kept.attention_norm, scratch);
  ops.norm_modulate_forward(first.out, first.mean, first.rstd, kept.input, part(m, 0), part(m, 1), norm_epsilon);
  qkv_.forward(ops, kept.qkv, first.out);
  turn(ops, kept.qkv, context.angles, false);
  ops.attention_forward(kept.attention, kept.log_sum_exp, packed_part(kept.qkv, 0), packed_part(kept.qkv, 1),
                        packed_part(kept.qkv, 2), {heads_, heads_, {}, false});
  projection_.forward(ops, kept.projection, kept.attention);
  context.dropout.apply(ops, kept.projection, index_, Dropout::Place::attention);
  ops.gated_residual_forward(x1, kept.input, kept.projection, part(m, 2));

  const NormActivations second = kept_or_scratch(kept.mlp_norm, scratch);
  const Tensor gelu = gelu_of(kept, scratch);
  ops.norm_modulate_forward(second.out, second.mean, second.rstd, x1, part(m, 3), part(m, 4), norm_epsilon);
  mlp_input_.forward_gelu(ops, gelu, kept.hidden, second.out);
  mlp_output_.forward(ops, kept.output, gelu);
  context.dropout.apply(ops, kept.output, index_, Dropout::Place::mlp);
}

void TransformerLayer::backward(Ops& ops, const Tensor& dconditioning, const LayerActivations& kept,
                                const LayerContext& context, const LayerScratch& scratch, GradientWrite write) const {
  backward_mlp(ops, kept, context, scratch, write);
  backward_attention(ops, kept, context, scratch, write);
  modulation_.backward(ops, dconditioning, scratch.modulation, context.conditioning, write);
}

void TransformerLayer::backward_mlp(Ops& ops, const LayerActivations& kept, const LayerContext& context,
                                    const LayerScratch& scratch, GradientWrite write) const {
  const Tensor &m = kept.modulation, &dm = scratch.modulation, &flow = scratch.flow;

  const Tensor& doutput = kept.output;
  ops.gated_residual_backward(doutput, part(dm, 5), flow, kept.output, part(m, 5));
  context.dropout.apply(ops, doutput, index_, Dropout::Place::mlp);
  const Tensor dhidden = gelu_of(kept, scratch);
  mlp_output_.backward_gelu(ops, mlp_input_, dhidden, doutput, kept.hidden, keeps_cheap_, write);

  // The modulated norm, or its like again in the memory of the MLP's output, which nothing needs any more; when it has
  // served the weight's gradient, its memory takes the gradient with respect to it.
  Tensor x1 = kept.x1;
  NormActivations norm = kept.mlp_norm;
  if (x1.empty()) {
    x1 = scratch.narrow;
    norm = {kept.output, scratch.mean, scratch.rstd};
    ops.gated_residual_forward(x1, kept.input, kept.projection, part(m, 2));
    ops.norm_modulate_forward(norm.out, norm.mean, norm.rstd, x1, part(m, 3), part(m, 4), norm_epsilon);
  }
  mlp_input_.backward_weight(ops, dhidden, norm.out, write);  // the bias's was written above
  mlp_input_.backward_input(ops, norm.out, dhidden);
  ops.norm_modulate_backward(flow, part(dm, 3), part(dm, 4), norm.out, x1, norm.mean, norm.rstd, part(m, 4));
}

void TransformerLayer::backward_attention(Ops& ops, const LayerActivations& kept, const LayerContext& context,
                                          const LayerScratch& scratch, GradientWrite write) const {
  const Tensor &m = kept.modulation, &dm = scratch.modulation, &flow = scratch.flow;
  const std::int64_t samples = flow.dim(0), tokens = flow.dim(1);

  const Tensor &dprojection = kept.projection, &dattention = scratch.narrow;
  ops.gated_residual_backward(dprojection, part(dm, 2), flow, kept.projection, part(m, 2));
  context.dropout.apply(ops, dprojection, index_, Dropout::Place::attention);
  projection_.backward_parameters(ops, dprojection, kept.attention, write);
  projection_.backward_input(ops, dattention, dprojection);
  const Tensor dqkv = scratch.wide_as(samples, tokens, 3 * width_);
  ops.attention_backward(packed_part(dqkv, 0), packed_part(dqkv, 1), packed_part(dqkv, 2), dattention, kept.attention,
                         kept.log_sum_exp, packed_part(kept.qkv, 0), packed_part(kept.qkv, 1), packed_part(kept.qkv, 2),
                         {heads_, heads_, {}, false}, GradientWrite::replace, GradientWrite::replace);
  turn(ops, dqkv, context.angles, true);

  NormActivations norm = kept.attention_norm;
  if (norm.out.empty()) {
    norm = {kept.projection, scratch.mean, scratch.rstd};
    ops.norm_modulate_forward(norm.out, norm.mean, norm.rstd, kept.input, part(m, 0), part(m, 1), norm_epsilon);
  }
  qkv_.backward_parameters(ops, dqkv, norm.out, write);
  qkv_.backward_input(ops, norm.out, dqkv);
  ops.norm_modulate_backward(flow, part(dm, 0), part(dm, 1), norm.out, kept.input, norm.mean, norm.rstd, part(m, 1));
}

double TransformerLayer::flops_per_token() const {
  return qkv_.flops_per_row() + projection_.flops_per_row() + mlp_input_.flops_per_row() + mlp_output_.flops_per_row();
}

double TransformerLayer::attention_flops(std::int64_t tokens) const {
  return 4 * static_cast<double>(tokens) * static_cast<double>(tokens) * static_cast<double>(width_);
}

}  // namespace blocktrain::blocks
