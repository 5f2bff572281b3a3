#include "blocks/denoising_objective.hpp"

namespace blocktrain::blocks {

using kernels::Ops;
using kernels::Purpose;
using kernels::RandomKey;
using kernels::Tensor;

void DenoisingObjective::draw(Ops& ops, const Tensor& z, const Tensor& sigma, const Batch& batch,
                              const StepSettings& settings, int block) const {
  const auto key = [&](Purpose purpose) {
    return RandomKey{settings.seed, purpose, static_cast<std::uint32_t>(block)};
  };
  ops.draw_sigma(sigma, settings.interval, key(Purpose::sigma), settings.state, batch.first_sample);
  ops.add_noise(sample_rows(z), sample_rows(batch.target), sigma, key(Purpose::noise), settings.state,
                batch.first_sample);
}

void DenoisingObjective::loss(Ops& ops, const SampleLosses& out, const Tensor& df, const NoisyBatch& batch,
                              const Tensor& f, kernels::LossWeighting weighting, double loss_scale) const {
  ops.denoise_loss(out.loss, out.mse, sample_rows(df), sample_rows(batch.noisy), sample_rows(batch.target),
                   sample_rows(f), batch.sigma, sigma_data_, weighting, loss_scale);
}

void DenoisingObjective::estimate(Ops& ops, const Tensor& d, const Tensor& z, const Tensor& f,
                                  const Tensor& sigma) const {
  ops.denoised(sample_rows(d), sample_rows(z), sample_rows(f), sigma, sigma_data_);
}

}  // namespace blocktrain::blocks
