// A build without cuDNN's frontend: our own kernels in its place, for the same calls.
#include "kernels/cuda/fused_attention.hpp"
#include "kernels/cuda/plain_attention.hpp"

namespace blocktrain::kernels::cuda {
namespace {

class PlainAttention final : public FusedAttention {
 public:
  bool forward(cudaStream_t stream, const Tensor& out, const Tensor& log_sum_exp, const Tensor& q, const Tensor& k,
               const Tensor& v, const AttentionForm& form) override {
    if (!fused_attention_serves(log_sum_exp, q, k, form)) return false;
    plain_attention_forward(stream, out, log_sum_exp, q, k, v, form);
    return true;
  }
  bool backward(cudaStream_t stream, const Workspace& workspace, const FusedGradient& gradient, const Tensor& dout,
                const Tensor& out, const Tensor& log_sum_exp, const Tensor& q, const Tensor& k, const Tensor& v,
                const AttentionForm& form) override {
    if (!fused_attention_serves(log_sum_exp, q, k, form)) return false;
    plain_attention_backward(stream, workspace, gradient.dq, gradient.dk, gradient.dv, dout, out, log_sum_exp, q, k, v,
                             form, gradient.write_dq, gradient.write_dkv);
    return true;
  }
};

}  // namespace

std::unique_ptr<FusedAttention> make_fused_attention(bool) { return std::make_unique<PlainAttention>(); }

std::string fused_attention_facts() {
  return "own plain kernels: built without cuDNN's frontend (PyPI: nvidia-cudnn-frontend) or without cuDNN 9";
}

}  // namespace blocktrain::kernels::cuda
