#pragma once
/// The assembled network: trained blocks that together denoise at every noise level, each where it is the owner
/// (method: section 1, inference). An end-to-end network is assembled of one block that owns the whole range.

#include <cstdint>
#include <vector>

#include "blocks/block.hpp"
#include "blocks/noise/schedule.hpp"

namespace blocktrain::blocks {

/// Refers to its blocks, whose parameters have to be bound and outlive it.
class AssembledNetwork {
 public:
  /// blocks[b] owns interval b of `schedule`; all that the schedule has, or the first of them, and then nothing is
  /// denoised below the noise levels that they own.
  AssembledNetwork(NoiseSchedule schedule, std::vector<Block*> blocks);

  /// Takes what denoise() of up to `samples` samples needs: binds every block for inference, all to the same piece of
  /// `arena`, for only one of them runs at a time. What was bound before stays.
  void bind(kernels::Arena& arena, kernels::DType dtype, std::int64_t samples);

  /// d = D(z; sigma, conditions), by the block that owns sigma, with classifier-free guidance: D = D_none + g (D_given
  /// - D_none). guidance 1 costs one evaluation, 0 too (no condition then), any other two; all but 1 need a network
  /// that can do without its condition. z, d [N, ...] as Block::allocate_noisy gives them.
  void denoise(kernels::Ops& ops, const kernels::Tensor& d, const kernels::Tensor& z, double sigma,
               const Batch& conditions, double guidance = 1);

  /// answer = what the block that owns sigma estimates of z, given its conditions (Block::estimate); of a network
  /// without noise what it answers: z is empty then, and sigma says nothing.
  void estimate(kernels::Ops& ops, const kernels::Tensor& answer, const kernels::Tensor& z, double sigma,
                const Batch& conditions);

  const NoiseSchedule& schedule() const { return schedule_; }
  /// Blocks that are there.
  int count() const { return static_cast<int>(blocks_.size()); }
  Block& block(int b) const { return *blocks_.at(static_cast<std::size_t>(b)); }

  /// Floating-point operations of all evaluations since the last reset: Flops::forward, or Block::estimate_flops(), of
  /// the block that ran, times samples.
  double flops_spent() const { return flops_spent_; }
  void reset_flops() { flops_spent_ = 0; }

 private:
  /// z at sigma, the same level for all, and what it is conditioned on.
  NetworkInput input_at(kernels::Ops& ops, const kernels::Tensor& z, double sigma, const Batch& conditions) const;
  void evaluate(kernels::Ops& ops, const kernels::Tensor& d, int b, NetworkInput input, Condition condition);

  NoiseSchedule schedule_;
  std::vector<Block*> blocks_;
  std::int64_t samples_ = 0;
  kernels::Tensor sigma_, unguided_;
  double flops_spent_ = 0;
};

}  // namespace blocktrain::blocks
