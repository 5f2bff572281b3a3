#include "blocks/objectives/gaussian.hpp"

#include <vector>

namespace blocktrain::blocks {
namespace {

using kernels::Ops;
using kernels::RandomKey;
using kernels::Tensor;

class Gaussian final : public Objective {
 public:
  Gaussian(const GaussianConfig& config, const SampleLayout& layout)
      : config_(config), field_(layout.index_of(config.target)), shape_(layout.fields[field_].shape) {}

  Tensor allocate_noisy(kernels::Arena& arena, kernels::DType dtype, std::int64_t samples) const override {
    return allocate_samples(arena, kernels::precise(dtype), samples, shape_);
  }

  void draw_levels(Ops& ops, const Tensor& sigma, const LevelDraw& draw) const override {
    ops.draw_sigma(sigma, draw.interval, draw.key, draw.state, draw.first_sample);
  }

  void add_noise(Ops& ops, const NetworkInput& input, const RandomKey& key,
                 const kernels::StepState* state) const override {
    ops.add_noise(sample_rows(input.noisy), target(input), input.level, key, state, input.batch.first_sample);
  }

  void loss(Ops& ops, const SampleLosses& losses, const LossGradients& gradients, const Tensor& f,
            const NetworkInput& input, double loss_scale, kernels::GradientWrite) override {
    BLOCKTRAIN_EXPECTS(gradients.noisy.empty());
    ops.denoise_loss(losses.loss, losses.unweighted, sample_rows(gradients.out), sample_rows(input.noisy),
                     target(input), sample_rows(f), input.level, config_.sigma_data, config_.weighting, loss_scale);
  }

  void estimate(Ops& ops, const Tensor& d, const NetworkInput& input, const Tensor& f) override {
    ops.denoised(sample_rows(d), sample_rows(input.noisy), sample_rows(f), input.level, config_.sigma_data);
  }

 private:
  Tensor target(const NetworkInput& input) const { return sample_rows(input.batch.fields[field_]); }

  GaussianConfig config_;
  std::size_t field_;  // of the target
  std::vector<std::int64_t> shape_;
};

}  // namespace

std::unique_ptr<Objective> make_gaussian(const GaussianConfig& config, const SampleLayout& layout) {
  return std::make_unique<Gaussian>(config, layout);
}

std::unique_ptr<Objective> gaussian_from(const Options& own, const NetworkSettings& settings,
                                         const SampleLayout& layout, const BlockPlace&, ParameterLayout&) {
  return make_gaussian({"image", settings.sigma_data, own.as<GaussianOptions>().weighting}, layout);
}

}  // namespace blocktrain::blocks
