#include "trainer/worker/heldout.hpp"

#include <algorithm>

#include "trainer/data/batch.hpp"
#include "trainer/data/upload_batch.hpp"
#include "trainer/plan/network.hpp"

namespace blocktrain::trainer {

void Heldout::bind(RankArenas& arenas, bool gpu, const blocks::SampleLayout& data, std::int64_t micro_batch,
                   Heldout& out) {
  kernels::Arena& where = gpu ? arenas.input : arenas.batch;
  out.batch_ = blocks::bind_batch(arenas.batch, data, micro_batch);
  out.input_ = gpu ? blocks::bind_batch(where, data, micro_batch) : out.batch_;
  out.sigma_ = where.allocate(kernels::DType::float32, {micro_batch});
  out.state_ = where.room_for<kernels::StepState>();
  out.losses_ = arenas.batch.allocate(kernels::DType::float32, {2, micro_batch});
}

HeldoutLoss Heldout::measure(kernels::Device& device, const ImageDataset& data, const Config& config,
                             OwnedBlock& block) const {
  const std::int64_t images = std::min(config.eval.images, data.count(Split::heldout));
  const kernels::RandomKey key{config.seed, kernels::Purpose::heldout_sigma, static_cast<std::uint32_t>(block.block)};
  kernels::Ops& ops = device.ops();
  const kernels::StepState first_step;
  device.upload(state_, &first_step, sizeof(first_step));
  blocks::EvaluationSettings settings;
  settings.seed = config.seed;
  settings.state = state_;

  const BlockState& live = block.live;
  if (!live.average.empty() && !live.working.empty()) ops.convert(live.working, live.average);
  block.network->bind_parameters(!live.working.empty() || live.average.empty() ? live.weights() : live.average);
  HeldoutLoss result;
  for (std::int64_t begin = 0; begin < images; begin += batch_.samples()) {
    const std::int64_t n = std::min(batch_.samples(), images - begin);
    const blocks::Batch batch = batch_.rows({0, n});
    fill_batch(data, Split::heldout, begin, batch);
    blocks::Batch input = input_.rows({0, n});
    input.first_sample = static_cast<std::uint32_t>(begin);
    const kernels::Tensor sigma = sigma_.rows(0, n);
    if (!device.shares_host_memory()) {
      upload(device, input, batch);
    }
    block.network->draw_levels(ops, sigma, {block.interval(), key, state_, input.first_sample, images});
    const blocks::SampleLosses losses = block.network->evaluate(ops, input, sigma, settings);
    float* const loss = losses_.as<float>();
    float* const mse = loss + losses_.dim(1);
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
