#include "blocks/assembled.hpp"

#include <algorithm>
#include <utility>

#include "kernels/error.hpp"

namespace blocktrain::blocks {

using kernels::Ops;
using kernels::Tensor;

AssembledNetwork::AssembledNetwork(NoiseSchedule schedule, std::vector<Block*> blocks)
    : schedule_(std::move(schedule)), blocks_(std::move(blocks)) {
  BLOCKTRAIN_EXPECTS(!blocks_.empty() && static_cast<int>(blocks_.size()) <= schedule_.count());
  for (const Block* block : blocks_) BLOCKTRAIN_EXPECTS(block != nullptr);
}

void AssembledNetwork::bind(kernels::Arena& arena, kernels::DType dtype, std::int64_t samples) {
  samples_ = samples;
  sigma_ = block(0).allocate_levels(arena, dtype, samples);
  unguided_ = block(0).allocate_noisy(arena, dtype, samples);
  const std::size_t shared = arena.mark();
  std::size_t end = shared;
  for (Block* block : blocks_) {
    arena.rewind_to(shared);
    block->bind_inference(arena, dtype, samples);
    end = std::max(end, arena.mark());
  }
  arena.rewind_to(end);
}

NetworkInput AssembledNetwork::input_at(Ops& ops, const Tensor& z, double sigma, const Batch& conditions) const {
  NetworkInput input;
  input.batch = conditions;
  if (z.empty()) return input;
  input.noisy = z;
  input.level = rows_of(sigma_, {0, z.dim(0)});
  ops.fill(input.level, sigma);
  return input;
}

void AssembledNetwork::estimate(Ops& ops, const Tensor& answer, const Tensor& z, double sigma,
                                const Batch& conditions) {
  const int b = z.empty() ? 0 : schedule_.block_of(sigma);
  const NetworkInput input = input_at(ops, z, sigma, conditions);
  block(b).estimate(ops, answer, input);
  flops_spent_ += block(b).estimate_flops() * static_cast<double>(input.samples());
}

void AssembledNetwork::evaluate(Ops& ops, const Tensor& d, int b, NetworkInput input, Condition condition) {
  input.condition = condition;
  block(b).denoise(ops, d, input);
  flops_spent_ += block(b).flops().forward * static_cast<double>(input.samples());
}

void AssembledNetwork::denoise(Ops& ops, const Tensor& d, const Tensor& z, double sigma, const Batch& conditions,
                               double guidance) {
  const Range all{0, z.dim(0)};
  BLOCKTRAIN_EXPECTS(all.end <= samples_ && z.row_size() == unguided_.row_size());
  const int b = schedule_.block_of(sigma);
  const NetworkInput input = input_at(ops, z, sigma, conditions);
  if (guidance != 0 && guidance != 1) {
    const Tensor unguided = rows_of(unguided_, all);
    evaluate(ops, unguided, b, input, Condition::none);
    evaluate(ops, d, b, input, Condition::given);
    ops.axpby(d, guidance, d, 1 - guidance, unguided);
  } else {
    evaluate(ops, d, b, input, guidance == 1 ? Condition::given : Condition::none);
  }
}

}  // namespace blocktrain::blocks
