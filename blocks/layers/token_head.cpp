#include "blocks/layers/token_head.hpp"

#include "blocks/layers/transformer_layer.hpp"

namespace blocktrain::blocks {

using kernels::Ops;
using kernels::Tensor;

namespace {

/// Elements [begin, begin + n*columns) of `t` as [n,1,columns].
Tensor piece(const Tensor& t, std::int64_t begin, std::int64_t n, std::int64_t columns) {
  return t.reshaped({t.size()}).rows(begin, begin + n * columns).reshaped({n, 1, columns});
}

}  // namespace

Tensor first_tokens(const Tensor& x) { return x.reshaped({x.dim(0), x.row_size()}).columns(0, x.dim(2)); }

Tensor other_tokens(const Tensor& x) { return x.reshaped({x.dim(0), x.row_size()}).columns(x.dim(2), x.row_size()); }

TokenHead::TokenHead(ParameterLayout& layout, std::int64_t width, bool conditioned, const std::string& prefix)
    : width_(width),
      modulation_(layout, prefix + ".output.modulation", prefix + ".output.norm", width, 2, {}, conditioned) {
  if (conditioned) linear_.emplace(layout, prefix + ".output.linear", width, width, Linear::Start::xavier);
}

TokenHead::Normed TokenHead::norm(Ops& ops, const Tensor& modulation, const Tensor& x,
                                  const LayerScratch& scratch) const {
  const std::int64_t n = x.dim(0);
  BLOCKTRAIN_EXPECTS(x.dim(1) >= 2);
  Normed at;
  at.token = piece(scratch.narrow, 0, n, width_);
  at.out = piece(scratch.narrow, n * width_, n, width_);
  at.mean = piece(scratch.mean, 0, n, 1).reshaped({n, 1});
  at.rstd = piece(scratch.rstd, 0, n, 1).reshaped({n, 1});
  at.shift = modulation.columns(0, width_);
  at.scale = modulation.columns(width_, 2 * width_);
  ops.copy(at.token.reshaped({n, width_}), first_tokens(x));
  ops.norm_modulate_forward(at.out, at.mean, at.rstd, at.token, at.shift, at.scale, norm_epsilon);
  return at;
}

void TokenHead::forward(Ops& ops, const Tensor& f, const Tensor& modulation, const Tensor& x,
                        const Tensor& conditioning, const LayerScratch& scratch) const {
  modulation_.forward(ops, modulation, conditioning);
  Tensor out = norm(ops, modulation, x, scratch).out;
  if (linear_) {
    const Tensor rows = piece(scratch.wide, 0, x.dim(0), width_);
    linear_->forward(ops, rows, out);
    out = rows;
  }
  ops.convert(f, out);
}

void TokenHead::backward(Ops& ops, const Tensor& dconditioning, const Tensor& df, const Tensor& modulation,
                         const Tensor& x, const Tensor& conditioning, const LayerScratch& scratch,
                         kernels::GradientWrite write) const {
  const std::int64_t n = x.dim(0);
  const Normed at = norm(ops, modulation, x, scratch);
  const Tensor dout = piece(scratch.wide, 0, n, width_), dtoken = piece(scratch.wide, n * width_, n, width_);
  ops.convert(dout, df);
  Tensor dnormed = dout;
  if (linear_) {
    linear_->backward_parameters(ops, dout, at.out, write);
    dnormed = at.out;
    linear_->backward_input(ops, dnormed, dout);
  }
  const Tensor dmodulation = scratch.modulation.columns(0, 2 * width_);
  ops.fill(dtoken, 0);
  ops.norm_modulate_backward(dtoken, dmodulation.columns(0, width_), dmodulation.columns(width_, 2 * width_), dnormed,
                             at.token, at.mean, at.rstd, at.scale);
  ops.fill(scratch.flow, 0);
  ops.copy(first_tokens(scratch.flow), dtoken.reshaped({n, width_}));
  modulation_.backward(ops, dconditioning, dmodulation, conditioning, write);
}

}  // namespace blocktrain::blocks
