#include "blocks/layers/patch_head.hpp"

namespace blocktrain::blocks {

using kernels::Ops;
using kernels::Tensor;

PatchHead::PatchHead(ParameterLayout& layout, const PatchGrid& grid, std::int64_t width, const std::string& prefix)
    : grid_(grid),
      width_(width),
      norm_(layout, width, true, prefix),
      linear_(layout, prefix + ".output.linear", grid.elements, width, Linear::Start::zeros) {}

void PatchHead::forward(Ops& ops, const Tensor& f, const Tensor& modulation, const Tensor& x,
                        const Tensor& conditioning, const LayerScratch& scratch) const {
  norm_.modulate(ops, modulation, conditioning);
  norm_.forward(ops, scratch.narrow, scratch.mean, scratch.rstd, x, modulation);
  const Tensor patches = scratch.output_as(x.dim(0), grid_.tokens(), grid_.elements);
  linear_.forward(ops, patches, scratch.narrow);
  ops.unpatchify(f, patches, grid_.side);
}

void PatchHead::backward(Ops& ops, const Tensor& dconditioning, const Tensor& df, const Tensor& modulation,
                         const Tensor& x, const Tensor& conditioning, const LayerScratch& scratch,
                         kernels::GradientWrite write) const {
  const Tensor dpatches = scratch.output_as(x.dim(0), grid_.tokens(), grid_.elements);
  const Tensor& modulated = scratch.narrow;
  ops.patchify(dpatches, df, grid_.side, {}, 0);
  norm_.forward(ops, modulated, scratch.mean, scratch.rstd, x, modulation);
  linear_.backward_parameters(ops, dpatches, modulated, write);
  linear_.backward_input(ops, modulated, dpatches);
  ops.fill(scratch.flow, 0);
  norm_.backward(ops, dconditioning, scratch.flow, scratch.modulation.columns(0, 2 * width_), modulated, x,
                 scratch.mean, scratch.rstd, modulation, conditioning, write);
}

}  // namespace blocktrain::blocks
