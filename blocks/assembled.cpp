#include "blocks/assembled.hpp"

#include <algorithm>
#include <utility>

#include "kernels/error.hpp"

namespace blocktrain::blocks {

using kernels::Ops;
using kernels::Tensor;

AssembledNetwork::AssembledNetwork(NoiseSchedule schedule, std::vector<Denoiser*> blocks)
    : schedule_(std::move(schedule)), blocks_(std::move(blocks)) {
  BLOCKTRAIN_EXPECTS(static_cast<int>(blocks_.size()) == schedule_.count());
  for (const Denoiser* block : blocks_) BLOCKTRAIN_EXPECTS(block != nullptr);
}

void AssembledNetwork::bind(kernels::Arena& arena, kernels::DType dtype, std::int64_t samples,
                            std::int64_t image_elements) {
  samples_ = samples;
  sigma_ = arena.allocate(kernels::precise(dtype), {samples});
  no_label_ = arena.allocate(kernels::DType::int32, {samples});
  unguided_ = arena.allocate(kernels::precise(dtype), {samples, image_elements});
  const std::size_t shared = arena.mark();
  std::size_t end = shared;
  for (Denoiser* block : blocks_) {
    arena.rewind_to(shared);
    block->bind_inference(arena, dtype, samples);
    end = std::max(end, arena.mark());
  }
  arena.rewind_to(end);
}

void AssembledNetwork::evaluate(Ops& ops, const Tensor& d, const Tensor& z, int b, const Tensor& label) {
  const std::int64_t samples = z.dim(0);
  block(b).denoise(ops, d, z, sigma_.rows(0, samples), label);
  flops_spent_ += block(b).flops().forward * static_cast<double>(samples);
}

void AssembledNetwork::denoise(Ops& ops, const Tensor& d, const Tensor& z, double sigma, const Tensor& label,
                               double guidance) {
  const std::int64_t samples = z.dim(0);
  BLOCKTRAIN_EXPECTS(samples <= samples_ && z.row_size() == unguided_.dim(1));
  const int b = schedule_.block_of(sigma);
  ops.fill(sigma_.rows(0, samples), sigma);
  if (guidance == 1) {
    evaluate(ops, d, z, b, label);
    return;
  }
  const Tensor none = no_label_.rows(0, samples);
  ops.drop_labels(none, label, -1, 1, {}, nullptr, 0);
  if (guidance == 0) {
    evaluate(ops, d, z, b, none);
    return;
  }
  const Tensor unguided = unguided_.rows(0, samples).reshaped({samples, z.dim(1), z.dim(2), z.dim(3)});
  evaluate(ops, unguided, z, b, none);
  evaluate(ops, d, z, b, label);
  ops.axpby(d, guidance, d, 1 - guidance, unguided);
}

}  // namespace blocktrain::blocks
