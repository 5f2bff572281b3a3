// A build without cuDNN's frontend: our own kernels compute every attention.
#include "kernels/cuda/fused_attention.hpp"

namespace blocktrain::kernels::cuda {
namespace {

class Absent final : public FusedAttention {
 public:
  bool forward(cudaStream_t, const Tensor&, const Tensor&, const Tensor&, int) override { return false; }
  bool backward(cudaStream_t, const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, int) override {
    return false;
  }
};

}  // namespace

std::unique_ptr<FusedAttention> make_fused_attention(bool) { return std::make_unique<Absent>(); }

std::string fused_attention_facts() {
  return "own plain kernels: built without cuDNN's frontend (PyPI: nvidia-cudnn-frontend) or without cuDNN 9";
}

}  // namespace blocktrain::kernels::cuda
