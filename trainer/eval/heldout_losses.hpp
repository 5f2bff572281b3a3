#pragma once
/// Losses of held-out samples, one block and one range of noise levels at a time. Samples, levels and noise are keyed
/// by the seed and nothing else, so two networks that are measured with one seed compare number by number.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "blocks/batch.hpp"
#include "kernels/arena.hpp"
#include "kernels/step_state.hpp"
#include "trainer/data/samples.hpp"
#include "trainer/eval/trained_network.hpp"

namespace blocktrain::trainer {

/// Held-out samples in host memory, and the evaluation of one block on them. Where the device shares that memory, they
/// are computed with where they are; else batch by batch in a place of their own.
class HeldoutLosses {
 public:
  /// The losses of the next samples in turn: as they are trained, and without weight.
  using Take = std::function<void(std::span<const float> loss, std::span<const float> unweighted)>;

  /// `count` samples, spread over all that are held out; all, when there are fewer. `network` and `data` outlive it.
  HeldoutLosses(TrainedNetwork& network, const Samples& data, std::int64_t count, std::uint64_t seed);

  std::int64_t count() const { return count_; }

  /// Gives `take` the losses of block `b` for all samples, with levels drawn from `interval` by the numbers of `stream`
  /// (Purpose::heldout_sigma), noise by those of `step`.
  void evaluate(int b, const kernels::SigmaInterval& interval, std::uint32_t stream, std::uint32_t step,
                const Take& take);

  /// What it takes of a device with memory of its own, besides the network: one batch. The samples stay on the host.
  static std::size_t device_bytes(const blocks::SampleLayout& layout, std::int64_t batch);

 private:
  /// A batch on a device with memory of its own.
  struct DeviceBatch {
    blocks::Batch input;
    kernels::Tensor level;
    kernels::StepState* state = nullptr;
    kernels::SigmaInterval* interval = nullptr;

    void bind(kernels::Arena& arena, const blocks::SampleLayout& layout, std::int64_t batch);
  };

  /// Samples [begin, begin + n) where the device computes with them.
  blocks::Batch batch(std::int64_t begin, std::int64_t n);
  /// The numbers of `losses`, which the device computed, for the host to read; `row` of losses_ holds them.
  std::span<const float> on_host(const kernels::Tensor& losses, std::int64_t row);

  TrainedNetwork& network_;
  kernels::Device& device_;
  bool apart_;  ///< the device has memory of its own
  std::uint64_t seed_;
  std::int64_t count_ = 0;
  std::optional<kernels::Arena> arena_, device_arena_;
  blocks::Batch samples_;
  kernels::Tensor level_, losses_;
  DeviceBatch on_device_;
};

}  // namespace blocktrain::trainer
