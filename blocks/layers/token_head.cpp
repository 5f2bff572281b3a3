#include "blocks/layers/token_head.hpp"

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
    : width_(width), norm_(layout, width, conditioned, prefix) {
  if (conditioned) linear_.emplace(layout, prefix + ".output.linear", width, width, Linear::Start::xavier);
}

TokenHead::Normed TokenHead::normed(Ops& ops, const Tensor& modulation, const Tensor& x,
                                    const LayerScratch& scratch) const {
  const std::int64_t n = x.dim(0);
  BLOCKTRAIN_EXPECTS(x.dim(1) >= 2);
  Normed at;
  at.token = piece(scratch.narrow, 0, n, width_);
  at.out = piece(scratch.narrow, n * width_, n, width_);
  at.mean = piece(scratch.mean, 0, n, 1).reshaped({n, 1});
  at.rstd = piece(scratch.rstd, 0, n, 1).reshaped({n, 1});
  ops.copy(at.token.reshaped({n, width_}), first_tokens(x));
  norm_.forward(ops, at.out, at.mean, at.rstd, at.token, modulation);
  return at;
}

void TokenHead::forward(Ops& ops, const Tensor& f, const Tensor& modulation, const Tensor& x,
                        const Tensor& conditioning, const LayerScratch& scratch) const {
  norm_.modulate(ops, modulation, conditioning);
  Tensor out = normed(ops, modulation, x, scratch).out;
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
  const Normed at = normed(ops, modulation, x, scratch);
  const Tensor dout = piece(scratch.wide, 0, n, width_), dtoken = piece(scratch.wide, n * width_, n, width_);
  ops.convert(dout, df);
  Tensor dnormed = dout;
  if (linear_) {
    linear_->backward_parameters(ops, dout, at.out, write);
    dnormed = at.out;
    linear_->backward_input(ops, dnormed, dout);
  }
  ops.fill(dtoken, 0);
  norm_.backward(ops, dconditioning, dtoken, scratch.modulation.columns(0, 2 * width_), dnormed, at.token, at.mean,
                 at.rstd, modulation, conditioning, write);
  ops.fill(scratch.flow, 0);
  ops.copy(first_tokens(scratch.flow), dtoken.reshaped({n, width_}));
}

}  // namespace blocktrain::blocks
