#include "trainer/worker/step_probe.hpp"

#include <exception>

#include "kernels/gpu_scratch.hpp"
#include "trainer/data/batch_loader.hpp"

namespace blocktrain::trainer {
namespace {

BatchLoaderOptions one_sample() {
  BatchLoaderOptions o;
  o.batch = 1;
  o.begin = 0;
  o.end = 1;
  return o;
}

}  // namespace

Config probe_config(Config c) {
  const std::int64_t head = c.model.width / c.model.heads;
  // Widths are multiples of 4, and libraries like those of 16.
  std::int64_t heads = 1;
  while (heads < c.model.heads && head * heads % 16 != 0) ++heads;
  c.model.heads = static_cast<decltype(c.model.heads)>(heads);
  c.model.width = head * heads;
  c.model.layers = 1;
  c.blocks.count = 1;
  c.blocks.layers.clear();
  c.blocks.seeds.clear();
  c.data.batch = c.data.micro_batch = 1;
  c.eval.every_steps = 0;
  return c;
}

StepProbe::StepProbe(kernels::Device& device, const Config& config, const blocks::SampleLayout& data)
    : config_(probe_config(config)),
      plan_(make_plan(config_, data, 1)),
      arenas_(RankArenas::take(device, plan_.ranks.front().bytes)) {
  owned_ = bind_blocks(arenas_, config_, data, {plan_.blocks.front().place}, 1, 1, 1);
  batch_ = bind_loader_batches(arenas_.batch, data, one_sample()).front();
  write_schedule(device, owned_.front(), training_intervals(config_));
  slots_.emplace(device, owned_);
  stepper_.emplace(device, Replicas{});
  slots_->enter(owned_.front());
  step();
  step();
}

void StepProbe::step() {
  BlockStepSettings s;
  s.optimizer = config_.optimizer;
  s.decay_steps = 2;
  stepper_->begin(owned_.front(), batch_, s, false);
  stepper_->finish(owned_.front());
}

CudaRuntime measure_cuda_runtime(const Config& config, const blocks::SampleLayout& data) {
  CudaRuntime found;
  try {
    if (kernels::cuda_devices(&found.reason) == 0) return found;
    const auto device = kernels::make_cuda_device(0, computed_in(config), true, config.parallel.cuda_graphs);
    const StepProbe probe(*device, config, data);
    const std::size_t asked_for = probe.device_bytes() + kernels::ops_scratch_bytes;
    DeviceRuntimeMeter meter(*device, open_nvml(), asked_for, asked_for);
    meter.measure();
    found.memory = meter.latest();
    found.device = device->facts().name;
    found.reason = meter.why_not_process();
  } catch (const std::exception& e) {
    found.memory = {};
    found.reason = e.what();
  }
  return found;
}

}  // namespace blocktrain::trainer
