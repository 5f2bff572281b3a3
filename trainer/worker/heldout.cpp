#include "trainer/worker/heldout.hpp"

#include <algorithm>
#include <numeric>
#include <optional>
#include <span>

#include "trainer/data/upload_batch.hpp"
#include "trainer/plan/network.hpp"

namespace blocktrain::trainer {

HeldoutLoss measure_heldout(kernels::Device& device, const Samples& data, const Config& config, OwnedBlock& block,
                            HeldoutMemory& memory) {
  const std::int64_t samples = std::min(config.eval.heldout, data.count(Split::heldout));
  const auto micro_batch = static_cast<std::int64_t>(memory.indices.size());
  const kernels::RandomKey key{config.seed, kernels::Purpose::heldout_sigma, static_cast<std::uint32_t>(block.block)};
  kernels::Ops& ops = device.ops();
  const kernels::StepState first_step;
  device.upload(memory.state, &first_step, sizeof(first_step));
  blocks::EvaluationSettings settings;
  settings.seed = config.seed;
  settings.state = memory.state;

  const BlockState& live = block.live;
  if (!live.average.empty() && !live.working.empty()) ops.convert(live.working, live.average);
  block.network->bind_parameters(!live.working.empty() || live.average.empty() ? live.weights() : live.average);
  HeldoutLoss result;
  for (std::int64_t begin = 0; begin < samples; begin += micro_batch) {
    const std::int64_t n = std::min(micro_batch, samples - begin);
    const blocks::Batch batch = memory.batch.rows({0, n});
    const std::span<std::int64_t> indices = std::span(memory.indices).first(static_cast<std::size_t>(n));
    std::iota(indices.begin(), indices.end(), begin);
    data.fill(batch, Split::heldout, indices, std::nullopt);
    blocks::Batch input = memory.input.rows({0, n});
    input.first_sample = static_cast<std::uint32_t>(begin);
    const kernels::Tensor sigma = blocks::rows_of(memory.sigma, {0, n});
    if (!device.shares_host_memory()) {
      upload(device, input, batch);
    }
    block.network->draw_levels(ops, sigma, {block.interval(), key, memory.state, input.first_sample, samples});
    const blocks::SampleLosses losses = block.network->evaluate(ops, input, sigma, settings);
    float* const loss = memory.losses.as<float>();
    float* const mse = loss + micro_batch;
    device.download(loss, losses.loss.data, losses.loss.bytes());
    device.download(mse, losses.unweighted.data, losses.unweighted.bytes());
    for (std::int64_t i = 0; i < n; ++i) {
      result.loss += static_cast<double>(loss[i]);
      result.mse += static_cast<double>(mse[i]);
    }
    result.samples += n;
  }
  if (!live.average.empty() && !live.working.empty()) ops.convert(live.working, live.parameters);
  block.network->bind_parameters(live.weights());
  result.loss /= static_cast<double>(result.samples);
  result.mse /= static_cast<double>(result.samples);
  return result;
}

}  // namespace blocktrain::trainer
