#include "blocks/layers/patch_head.hpp"

#include "blocks/layers/transformer_layer.hpp"

namespace blocktrain::blocks {

using kernels::Ops;
using kernels::Tensor;

PatchHead::PatchHead(ParameterLayout& layout, const PatchGrid& grid, std::int64_t width, const std::string& prefix)
    : grid_(grid),
      width_(width),
      modulation_(layout, prefix + ".output.modulation", {}, width_, 2, {}, true),
      linear_(layout, prefix + ".output.linear", grid.elements, width_, Linear::Start::zeros) {}

void PatchHead::forward(Ops& ops, const Tensor& f, const Tensor& modulation, const Tensor& x,
                        const Tensor& conditioning, const LayerScratch& scratch) const {
  modulation_.forward(ops, modulation, conditioning);
  const Tensor shift = modulation.columns(0, width_), scale = modulation.columns(width_, 2 * width_);
  ops.norm_modulate_forward(scratch.narrow, scratch.mean, scratch.rstd, x, shift, scale, norm_epsilon);
  const Tensor patches = scratch.output_as(x.dim(0), grid_.tokens(), grid_.elements);
  linear_.forward(ops, patches, scratch.narrow);
  ops.unpatchify(f, patches, grid_.side);
}

void PatchHead::backward(Ops& ops, const Tensor& dconditioning, const Tensor& df, const Tensor& modulation,
                         const Tensor& x, const Tensor& conditioning, const LayerScratch& scratch,
                         kernels::GradientWrite write) const {
  const Tensor shift = modulation.columns(0, width_), scale = modulation.columns(width_, 2 * width_);
  const Tensor dmodulation = scratch.modulation.columns(0, 2 * width_);
  const Tensor dpatches = scratch.output_as(x.dim(0), grid_.tokens(), grid_.elements);
  const Tensor& modulated = scratch.narrow;
  ops.patchify(dpatches, df, grid_.side, {}, 0);
  ops.norm_modulate_forward(modulated, scratch.mean, scratch.rstd, x, shift, scale, norm_epsilon);
  linear_.backward_parameters(ops, dpatches, modulated, write);
  linear_.backward_input(ops, modulated, dpatches);
  ops.fill(scratch.flow, 0);
  ops.norm_modulate_backward(scratch.flow, dmodulation.columns(0, width_), dmodulation.columns(width_, 2 * width_),
                             modulated, x, scratch.mean, scratch.rstd, scale);
  modulation_.backward(ops, dconditioning, dmodulation, conditioning, write);
}

}  // namespace blocktrain::blocks
