#include "kernels/backend.hpp"
#include "kernels/check_operands.hpp"
#include "kernels/ops.hpp"

namespace blocktrain::kernels {
using namespace check;
namespace {

/// A tensor [N,T,C] or [N*T,C].
bool token_rows(const Tensor& t, std::int64_t samples, std::int64_t tokens, std::int64_t width) {
  return t.rank == 3 ? t.dim(0) == samples && t.dim(1) == tokens && t.dim(2) == width
                     : t.rank == 2 && t.dim(0) == samples * tokens && t.dim(1) == width;
}

/// What the forward and the backward pass ask of their operands alike.
AttentionSizes checked_sizes(const Tensor& out, const Tensor& log_sum_exp, const Tensor& q, const Tensor& k,
                             const Tensor& v, const AttentionForm& form) {
  BLOCKTRAIN_EXPECTS(form.kv_heads >= 1 && form.heads >= 1 && form.heads % form.kv_heads == 0);
  BLOCKTRAIN_EXPECTS(form.mask.chunk >= 0 && form.mask.offset >= 0);
  BLOCKTRAIN_EXPECTS(log_sum_exp.rank == 3 && log_sum_exp.contiguous() && log_sum_exp.dim(1) == form.heads);
  BLOCKTRAIN_EXPECTS(log_sum_exp.dim(0) >= 1 && log_sum_exp.dim(2) >= 1);
  const AttentionSizes s(log_sum_exp, q, k, form);
  BLOCKTRAIN_EXPECTS(s.keys >= 1 && s.head_width >= 1);
  BLOCKTRAIN_EXPECTS(token_rows(q, s.samples, s.queries, s.heads * s.head_width));
  BLOCKTRAIN_EXPECTS(token_rows(out, s.samples, s.queries, s.heads * s.head_width));
  BLOCKTRAIN_EXPECTS(token_rows(k, s.samples, s.keys, s.kv_heads * s.head_width));
  BLOCKTRAIN_EXPECTS(token_rows(v, s.samples, s.keys, s.kv_heads * s.head_width));
  return s;
}

}  // namespace

void Ops::attention_forward(const Tensor& out, const Tensor& log_sum_exp, const Tensor& q, const Tensor& k,
                            const Tensor& v, const AttentionForm& form) {
  checked_sizes(out, log_sum_exp, q, k, v, form);
  BLOCKTRAIN_EXPECTS(typed(dtype(), out, q, k, v) && typed(precise(dtype()), log_sum_exp));
  BLOCKTRAIN_EXPECTS(apart(out, q, k, v));
  backend_->attention_forward(out, log_sum_exp, q, k, v, form);
}

void Ops::attention_backward(const Tensor& dq, const Tensor& dk, const Tensor& dv, const Tensor& dout,
                             const Tensor& out, const Tensor& log_sum_exp, const Tensor& q, const Tensor& k,
                             const Tensor& v, const AttentionForm& form, GradientWrite write_dq,
                             GradientWrite write_dkv) {
  const AttentionSizes s = checked_sizes(out, log_sum_exp, q, k, v, form);
  BLOCKTRAIN_EXPECTS(token_rows(dq, s.samples, s.queries, s.heads * s.head_width));
  BLOCKTRAIN_EXPECTS(token_rows(dout, s.samples, s.queries, s.heads * s.head_width));
  BLOCKTRAIN_EXPECTS(token_rows(dk, s.samples, s.keys, s.kv_heads * s.head_width));
  BLOCKTRAIN_EXPECTS(token_rows(dv, s.samples, s.keys, s.kv_heads * s.head_width));
  BLOCKTRAIN_EXPECTS(typed(dtype(), dq, dk, dv, dout, out, q, k, v) && typed(precise(dtype()), log_sum_exp));
  BLOCKTRAIN_EXPECTS(apart(dq, q, k, v, out, dout) && apart(dk, q, k, v, out, dout) && apart(dv, q, k, v, out, dout));
  BLOCKTRAIN_EXPECTS(apart(dq, dk, dv) && apart(dk, dv));
  backend_->attention_backward(dq, dk, dv, dout, out, log_sum_exp, q, k, v, form, write_dq, write_dkv);
}

void Ops::attention_merge(const Tensor& out, const Tensor& log_sum_exp, const Tensor& out_a, const Tensor& sums_a,
                          const Tensor& out_b, const Tensor& sums_b) {
  BLOCKTRAIN_EXPECTS(log_sum_exp.rank == 3 && log_sum_exp.contiguous() && log_sum_exp.size() >= 1);
  const std::int64_t samples = log_sum_exp.dim(0), heads = log_sum_exp.dim(1), tokens = log_sum_exp.dim(2);
  const std::int64_t width = token_width(out);
  BLOCKTRAIN_EXPECTS(width % heads == 0 && token_rows(out, samples, tokens, width));
  BLOCKTRAIN_EXPECTS(token_rows(out_a, samples, tokens, width) && token_rows(out_b, samples, tokens, width));
  BLOCKTRAIN_EXPECTS(same_shape(sums_a, log_sum_exp) && same_shape(sums_b, log_sum_exp));
  BLOCKTRAIN_EXPECTS(sums_a.contiguous() && sums_b.contiguous());
  BLOCKTRAIN_EXPECTS(typed(dtype(), out, out_a, out_b) && typed(precise(dtype()), log_sum_exp, sums_a, sums_b));
  backend_->attention_merge(out, log_sum_exp, out_a, sums_a, out_b, sums_b);
}

void Ops::rotary(const Tensor& out, const Tensor& x, const Tensor& angles, bool inverse) {
  const std::int64_t tokens = angles.dim(0), head_width = angles.row_size();
  BLOCKTRAIN_EXPECTS(angles.rank == 2 && angles.contiguous() && tokens >= 1);
  BLOCKTRAIN_EXPECTS(head_width >= 2 && head_width % 2 == 0);
  const std::int64_t samples = samples_of(x, tokens), width = token_width(x);
  BLOCKTRAIN_EXPECTS(samples >= 1 && width % head_width == 0);
  BLOCKTRAIN_EXPECTS(token_rows(x, samples, tokens, width) && token_rows(out, samples, tokens, width));
  BLOCKTRAIN_EXPECTS(typed(dtype(), out, x) && typed(precise(dtype()), angles));
  backend_->rotary(out, x, angles, inverse);
}

}  // namespace blocktrain::kernels
