#include "blocks/dit_output.hpp"

#include "blocks/dit_layer.hpp"

namespace blocktrain::blocks {

using kernels::Ops;
using kernels::Tensor;

DitOutput::DitOutput(ParameterLayout& layout, const DitConfig& config, const std::string& prefix)
    : width_(config.width),
      tokens_(config.tokens()),
      patch_elements_(config.patch_elements()),
      patch_(config.patch),
      modulation_(layout, prefix + ".output.modulation", 2 * width_, width_, Linear::Start::zeros),
      linear_(layout, prefix + ".output.linear", patch_elements_, width_, Linear::Start::zeros) {}

void DitOutput::bind_parameters(const Tensor& flat, const std::vector<Parameter>& list) {
  modulation_.bind_parameters(flat, list);
  linear_.bind_parameters(flat, list);
}

void DitOutput::bind_gradient(const Tensor& flat, const std::vector<Parameter>& list) {
  modulation_.bind_gradient(flat, list);
  linear_.bind_gradient(flat, list);
}

void DitOutput::forward(Ops& ops, const Tensor& f, const Tensor& modulation, const Tensor& x,
                        const Tensor& conditioning, const DitScratch& scratch) const {
  modulation_.forward(ops, modulation, conditioning);
  const Tensor shift = modulation.columns(0, width_), scale = modulation.columns(width_, 2 * width_);
  ops.norm_modulate_forward(scratch.narrow, scratch.mean, scratch.rstd, x, shift, scale, norm_epsilon);
  const Tensor patches = scratch.patches_as(x.dim(0), tokens_, patch_elements_);
  linear_.forward(ops, patches, scratch.narrow);
  ops.unpatchify(f, patches, patch_);
}

void DitOutput::backward(Ops& ops, const Tensor& dconditioning, const Tensor& df, const Tensor& modulation,
                         const Tensor& x, const Tensor& conditioning, const DitScratch& scratch,
                         kernels::GradientWrite write) const {
  const Tensor shift = modulation.columns(0, width_), scale = modulation.columns(width_, 2 * width_);
  const Tensor dmodulation = scratch.modulation.columns(0, 2 * width_);
  const Tensor dpatches = scratch.patches_as(x.dim(0), tokens_, patch_elements_);
  const Tensor& modulated = scratch.narrow;
  ops.patchify(dpatches, df, patch_, {}, 0);
  ops.norm_modulate_forward(modulated, scratch.mean, scratch.rstd, x, shift, scale, norm_epsilon);
  linear_.backward_parameters(ops, dpatches, modulated, write);
  linear_.backward_input(ops, modulated, dpatches);
  ops.fill(scratch.flow, 0);
  ops.norm_modulate_backward(scratch.flow, dmodulation.columns(0, width_), dmodulation.columns(width_, 2 * width_),
                             modulated, x, scratch.mean, scratch.rstd, scale);
  modulation_.backward_parameters(ops, dmodulation, conditioning, write);
  modulation_.backward_input(ops, dconditioning, dmodulation, true);
}

}  // namespace blocktrain::blocks
