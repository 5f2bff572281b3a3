#include "kernels/backend.hpp"
#include "kernels/check_operands.hpp"
#include "kernels/ops.hpp"

namespace blocktrain::kernels {
using namespace check;

void Ops::attention_forward(const Tensor& out, const Tensor& log_sum_exp, const Tensor& qkv, int heads) {
  const std::int64_t width = qkv.dim(2) / 3;
  BLOCKTRAIN_EXPECTS(qkv.rank == 3 && qkv.contiguous() && qkv.dim(2) == 3 * width && heads >= 1 && width % heads == 0);
  BLOCKTRAIN_EXPECTS(3 * out.size() == qkv.size() && out.contiguous());
  BLOCKTRAIN_EXPECTS(flat(log_sum_exp, qkv.dim(0) * heads * qkv.dim(1)));
  BLOCKTRAIN_EXPECTS(typed(dtype(), out, qkv) && typed(precise(dtype()), log_sum_exp) && apart(out, qkv));
  backend_->attention_forward(out, log_sum_exp, qkv, heads);
}

void Ops::attention_backward(const Tensor& dqkv, const Tensor& dout, const Tensor& out, const Tensor& log_sum_exp,
                             const Tensor& qkv, int heads) {
  const std::int64_t width = qkv.dim(2) / 3;
  BLOCKTRAIN_EXPECTS(qkv.rank == 3 && qkv.contiguous() && qkv.dim(2) == 3 * width && heads >= 1 && width % heads == 0);
  BLOCKTRAIN_EXPECTS(3 * out.size() == qkv.size() && out.contiguous() && flat(dout, out.size()));
  BLOCKTRAIN_EXPECTS(flat(dqkv, qkv.size()) && flat(log_sum_exp, qkv.dim(0) * heads * qkv.dim(1)));
  BLOCKTRAIN_EXPECTS(typed(dtype(), out, qkv, dout, dqkv) && typed(precise(dtype()), log_sum_exp));
  BLOCKTRAIN_EXPECTS(apart(dqkv, qkv, out, dout));
  backend_->attention_backward(dqkv, dout, out, log_sum_exp, qkv, heads);
}

}  // namespace blocktrain::kernels
