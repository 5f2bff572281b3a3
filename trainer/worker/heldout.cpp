#include "trainer/worker/heldout.hpp"

#include <algorithm>

#include "trainer/plan/network.hpp"

namespace blocktrain::trainer {

void Heldout::bind(RankArenas& arenas, bool gpu, const DataShape& data, std::int64_t micro_batch, Heldout& out) {
  kernels::Arena& where = gpu ? arenas.input : arenas.batch;
  const ImageShape shape{data.channels, data.height, data.width};
  out.batch_ = bind_batch(arenas.batch, shape, micro_batch);
  out.input_ = gpu ? bind_batch(where, shape, micro_batch) : out.batch_;
  out.sigma_ = where.allocate(kernels::DType::float32, {micro_batch});
  out.state_ = where.room_for<kernels::StepState>();
  out.losses_ = arenas.batch.allocate(kernels::DType::float32, {2, micro_batch});
}

HeldoutLoss Heldout::measure(kernels::Device& device, const ImageDataset& data, const Config& config,
                             OwnedBlock& block) const {
  const std::int64_t images = std::min(config.eval.images, data.count(Split::heldout));
  const std::int64_t shape_size = data.shape().size();
  const kernels::RandomKey key{config.seed, kernels::Purpose::heldout_sigma, static_cast<std::uint32_t>(block.block)};
  kernels::Ops& ops = device.ops();
  const kernels::StepState first_step;
  device.upload(state_, &first_step, sizeof(first_step));
  blocks::EvaluationSettings settings;
  settings.seed = config.seed;
  settings.state = state_;
  settings.weighting = loss_weighting(config.objective.weighting);

  const BlockState& live = block.live;
  if (!live.average.empty() && !live.working.empty()) ops.convert(live.working, live.average);
  block.network->bind_parameters(!live.working.empty() || live.average.empty() ? live.weights() : live.average);
  HeldoutLoss result;
  for (std::int64_t begin = 0; begin < images; begin += batch_.images.dim(0)) {
    const std::int64_t n = std::min(batch_.images.dim(0), images - begin);
    for (std::int64_t i = 0; i < n; ++i) {
      fill_image(data, Split::heldout, begin + i, false, batch_.images.as<float>() + i * shape_size);
      batch_.labels.as<std::int32_t>()[i] = data.label(Split::heldout, begin + i);
    }
    data.require_unchanged();
    const auto first = static_cast<std::uint32_t>(begin);
    const kernels::Tensor sigma = sigma_.rows(0, n);
    if (!device.shares_host_memory()) {
      device.upload(input_.images.data, batch_.images.data, batch_.images.rows(0, n).bytes());
      device.upload(input_.labels.data, batch_.labels.data, batch_.labels.rows(0, n).bytes());
    }
    ops.draw_sigma(sigma, block.interval(), key, state_, first);
    const blocks::SampleLosses losses =
        block.network->evaluate(ops, {input_.images.rows(0, n), input_.labels.rows(0, n), first}, sigma, settings);
    float* const loss = losses_.as<float>();
    float* const mse = loss + losses_.dim(1);
    device.download(loss, losses.loss.data, losses.loss.bytes());
    device.download(mse, losses.mse.data, losses.mse.bytes());
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
