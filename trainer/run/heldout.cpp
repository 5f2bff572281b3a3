#include "trainer/run/heldout.hpp"

#include <algorithm>

#include "trainer/run/network.hpp"

namespace blocktrain::trainer {

void Heldout::bind(kernels::Arena& arena, const DataShape& data, std::int64_t micro_batch, Heldout& out) {
  out.batch_ = bind_batch(arena, {data.channels, data.height, data.width}, micro_batch);
  out.sigma_ = arena.allocate(kernels::DType::float32, {micro_batch});
}

HeldoutLoss Heldout::measure(kernels::Ops& ops, const ImageDataset& data, const Config& config, OwnedBlock& block,
                             const kernels::SigmaInterval& interval) const {
  const std::int64_t images = std::min(config.eval.images, data.count(Split::heldout));
  const std::int64_t shape_size = data.shape().size();
  const kernels::RandomKey key{config.seed, kernels::Purpose::evaluation, static_cast<std::uint32_t>(block.block)};
  const kernels::StepState first_step;  // the same draws every time
  blocks::EvaluationSettings settings;
  settings.seed = config.seed;
  settings.state = &first_step;
  settings.weighting = loss_weighting(config.objective.weighting);

  block.network->bind_parameters(block.state.average.empty() ? block.state.parameters : block.state.average);
  HeldoutLoss result;
  for (std::int64_t begin = 0; begin < images; begin += batch_.images.dim(0)) {
    const std::int64_t n = std::min(batch_.images.dim(0), images - begin);
    for (std::int64_t i = 0; i < n; ++i) {
      fill_image(data, Split::heldout, begin + i, false, batch_.images.as<float>() + i * shape_size);
      batch_.labels.as<std::int32_t>()[i] = data.label(Split::heldout, begin + i);
    }
    const auto first = static_cast<std::uint32_t>(begin);
    const kernels::Tensor sigma = sigma_.rows(0, n);
    ops.draw_sigma(sigma, interval, key, &first_step, first);
    const blocks::SampleLosses losses =
        block.network->evaluate(ops, {batch_.images.rows(0, n), batch_.labels.rows(0, n), first}, sigma, settings);
    ops.synchronize();
    for (std::int64_t i = 0; i < n; ++i) {
      result.loss += static_cast<double>(losses.loss.as<float>()[i]);
      result.mse += static_cast<double>(losses.mse.as<float>()[i]);
    }
    result.samples += n;
  }
  block.network->bind_parameters(block.state.parameters);
  result.loss /= static_cast<double>(result.samples);
  result.mse /= static_cast<double>(result.samples);
  return result;
}

}  // namespace blocktrain::trainer
