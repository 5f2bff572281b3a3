#include "blocks/layers/output_norm.hpp"

#include "blocks/layers/transformer_layer.hpp"

namespace blocktrain::blocks {

using kernels::Ops;
using kernels::Tensor;

OutputNorm::OutputNorm(ParameterLayout& layout, std::int64_t width, bool conditioned, const std::string& prefix)
    : width_(width),
      modulation_(layout, prefix + ".output.modulation", prefix + ".output.norm", width, 2, {}, conditioned) {}

void OutputNorm::modulate(Ops& ops, const Tensor& modulation, const Tensor& conditioning) const {
  modulation_.forward(ops, modulation, conditioning);
}

void OutputNorm::forward(Ops& ops, const Tensor& out, const Tensor& mean, const Tensor& rstd, const Tensor& x,
                         const Tensor& modulation) const {
  ops.norm_modulate_forward(out, mean, rstd, x, shift(modulation), scale(modulation), norm_epsilon);
}

void OutputNorm::backward(Ops& ops, const Tensor& dconditioning, const Tensor& dx, const Tensor& dmodulation,
                          const Tensor& dout, const Tensor& x, const Tensor& mean, const Tensor& rstd,
                          const Tensor& modulation, const Tensor& conditioning, kernels::GradientWrite write) const {
  ops.norm_modulate_backward(dx, shift(dmodulation), scale(dmodulation), dout, x, mean, rstd, scale(modulation));
  modulation_.backward(ops, dconditioning, dmodulation, conditioning, write);
}

}  // namespace blocktrain::blocks
