#include "trainer/eval/heldout_losses.hpp"

#include <algorithm>

#include "trainer/data/upload_batch.hpp"

namespace blocktrain::trainer {

using kernels::Arena;
using kernels::DType;
using kernels::Purpose;
using kernels::Tensor;

void HeldoutLosses::DeviceBatch::bind(Arena& arena, const blocks::SampleLayout& layout, std::int64_t batch) {
  input = blocks::bind_batch(arena, layout, batch);
  level = arena.allocate(DType::float32, {batch});
  state = arena.room_for<kernels::StepState>();
  interval = arena.room_for<kernels::SigmaInterval>();
}

HeldoutLosses::HeldoutLosses(TrainedNetwork& network, const Samples& data, std::int64_t count, std::uint64_t seed)
    : network_(network), device_(network.device()), apart_(!device_.shares_host_memory()), seed_(seed) {
  const std::int64_t all = data.count(Split::heldout);
  count_ = std::min(count, all);
  const blocks::SampleLayout& layout = network.data().layout;
  const auto bind = [&](Arena& arena) {
    samples_ = blocks::bind_batch(arena, layout, count_);
    if (apart_) {
      losses_ = arena.allocate(DType::float32, {2, network.batch()});
    } else {
      level_ = arena.allocate(DType::float32, {network.batch()});
    }
  };
  Arena sizing = Arena::measuring("held-out samples");
  bind(sizing);
  arena_.emplace(device_.staging("held-out samples", sizing.peak()));
  bind(*arena_);
  std::vector<std::int64_t> indices;
  for (std::int64_t i = 0; i < count_; ++i) indices.push_back(spread_sample(i, count_, all));
  data.fill(samples_, Split::heldout, indices, std::nullopt);
  if (!apart_) return;
  device_arena_.emplace(device_.arena("held-out batch", device_bytes(layout, network.batch())));
  on_device_.bind(*device_arena_, layout, network.batch());
}

void HeldoutLosses::evaluate(int b, const kernels::SigmaInterval& interval, std::uint32_t stream, std::uint32_t step,
                             const Take& take) {
  kernels::Ops& ops = device_.ops();
  kernels::StepState state;
  state.step = step;
  if (apart_) {
    device_.upload(on_device_.state, &state, sizeof(state));
    device_.upload(on_device_.interval, &interval, sizeof(interval));
  }
  blocks::EvaluationSettings settings;
  settings.seed = seed_;
  settings.state = apart_ ? on_device_.state : &state;
  for (std::int64_t begin = 0; begin < count_; begin += network_.batch()) {
    const std::int64_t n = std::min(network_.batch(), count_ - begin);
    const Tensor level = (apart_ ? on_device_.level : level_).rows(0, n);
    network_.block(b).draw_levels(ops, level,
                                  {apart_ ? on_device_.interval : &interval,
                                   {seed_, Purpose::heldout_sigma, stream},
                                   settings.state,
                                   static_cast<std::uint32_t>(begin),
                                   count_});
    const blocks::SampleLosses losses = network_.block(b).evaluate(ops, batch(begin, n), level, settings);
    const std::span<const float> loss = on_host(losses.loss, 0);
    take(loss, on_host(losses.unweighted, 1));
  }
}

std::size_t HeldoutLosses::device_bytes(const blocks::SampleLayout& layout, std::int64_t batch) {
  Arena sizing = Arena::measuring("held-out batch");
  DeviceBatch().bind(sizing, layout, batch);
  return sizing.peak();
}

blocks::Batch HeldoutLosses::batch(std::int64_t begin, std::int64_t n) {
  const blocks::Batch here = samples_.rows({begin, begin + n});
  if (!apart_) return here;
  blocks::Batch there = on_device_.input.rows({0, n});
  there.first_sample = here.first_sample;
  upload(device_, there, here);
  return there;
}

std::span<const float> HeldoutLosses::on_host(const Tensor& losses, std::int64_t row) {
  const auto size = static_cast<std::size_t>(losses.size());
  if (!apart_) {
    device_.ops().synchronize();
    return {losses.as<float>(), size};
  }
  float* const to = losses_.as<float>() + row * losses_.dim(1);
  device_.download(to, losses.data, losses.bytes());
  return {to, size};
}

}  // namespace blocktrain::trainer
