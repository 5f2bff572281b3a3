#include "trainer/export/dit_reference.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/error.hpp"
#include "kernels/random.hpp"

namespace blocktrain::trainer {
namespace {

using kernels::Arena;
using kernels::DType;
using kernels::Purpose;
using kernels::RandomKey;
using kernels::Tensor;

constexpr std::int64_t generated = 4;
constexpr double guidance = 2.5;
constexpr int steps = 6;
constexpr RandomKey noise_key{0, Purpose::sampling, 0};

/// Every third input has no class: the second of the three of each block.
std::int32_t label_of(std::int64_t i, std::int64_t classes) {
  return i % 3 == 1 ? -1 : static_cast<std::int32_t>((i - i / 3) % classes);
}

blocks::Batch conditions_of(const TrainedNetwork& network, const Tensor& label) {
  blocks::Batch batch;
  batch.fields[network.data().layout.index_of("label")] = label;
  return batch;
}

Tensor flat_rows(const Tensor& t) { return t.reshaped({t.dim(0), t.row_size()}); }

}  // namespace

DitReference::DitReference(TrainedNetwork& network) {
  BLOCKTRAIN_EXPECTS(network.device().shares_host_memory());
  const std::vector<double> sigmas = reference_levels(network.network().schedule());
  const std::vector<std::int64_t>& shape = network.data().layout.field("image").shape;
  Arena sizing = Arena::measuring("reference batch");
  allocate(sizing, shape, static_cast<std::int64_t>(sigmas.size()));
  arena_.emplace(Arena::host("reference batch", sizing.peak()));
  allocate(*arena_, shape, static_cast<std::int64_t>(sigmas.size()));

  draw_inputs(network, sigmas);
  denoise(network);
  sample(network);
}

void DitReference::allocate(Arena& arena, const std::vector<std::int64_t>& shape, std::int64_t levels) {
  const auto images = [&](std::int64_t n) { return blocks::allocate_samples(arena, DType::float32, n, shape); };
  for (Tensor* t : {&z_, &estimate_, &guided_}) *t = images(levels);
  for (Tensor* t : {&noise_, &image_}) *t = images(generated);
  sampler_.bind(arena, DType::float32, generated, shape);
  sigma_ = arena.allocate(DType::float64, {levels});
  label_ = arena.allocate(DType::int32, {levels});
  sample_label_ = arena.allocate(DType::int32, {generated});
  sample_levels_ = arena.allocate(DType::float64, {steps + 1});
}

void DitReference::draw_inputs(TrainedNetwork& network, const std::vector<double>& sigmas) {
  kernels::Ops& ops = network.ops();
  // The numbers after those that the sampler takes below.
  ops.random_normal(flat_rows(z_), noise_key, 0, static_cast<std::uint32_t>(generated));
  std::copy(sigmas.begin(), sigmas.end(), sigma_.as<double>());
  for (std::int64_t i = 0; i < z_.dim(0); ++i) {
    const Tensor z = z_.rows(i, i + 1);
    ops.axpby(z, std::hypot(network.data().deviation, sigma_.as<double>()[i]), z, 0, z);
    label_.as<std::int32_t>()[i] = label_of(i, network.data().layout.classes);
  }
}

void DitReference::denoise(TrainedNetwork& network) {
  for (std::int64_t i = 0; i < z_.dim(0); ++i) {
    const auto row = [i](const Tensor& t) { return t.rows(i, i + 1); };
    const double sigma = sigma_.as<double>()[i];
    const blocks::Batch conditions = conditions_of(network, row(label_));
    network.network().denoise(network.ops(), row(estimate_), row(z_), sigma, conditions);
    network.network().denoise(network.ops(), row(guided_), row(z_), sigma, conditions, guidance);
  }
  network.ops().synchronize();
}

void DitReference::sample(TrainedNetwork& network) {
  kernels::Ops& ops = network.ops();
  for (std::int64_t i = 0; i < generated; ++i) {
    // The last one of no class.
    sample_label_.as<std::int32_t>()[i] =
        i + 1 == generated ? -1 : static_cast<std::int32_t>(i % network.data().layout.classes);
  }
  const std::vector<double> levels = network.network().schedule().sampling_edges(steps);
  std::copy(levels.begin(), levels.end(), sample_levels_.as<double>());
  ops.random_normal(flat_rows(noise_), noise_key, 0, 0);  // as the sampler draws it

  blocks::SamplerSettings settings;
  settings.seed = noise_key.seed;
  settings.target_deviation = network.data().deviation;
  const auto by_network = [&](const Tensor& d, const Tensor& z, double sigma, const blocks::Batch& conditions) {
    network.network().denoise(ops, d, z, sigma, conditions);
  };
  const Tensor made = sampler_.run(ops, by_network, levels, conditions_of(network, sample_label_), generated, settings);
  ops.synchronize();
  std::memcpy(image_.data, made.data, made.bytes());
}

std::vector<NamedTensor> DitReference::tensors() const {
  return {{"denoise.z", z_},
          {"denoise.sigma", sigma_},
          {"denoise.label", label_},
          {"denoise.estimate", estimate_},
          {"denoise.guided", guided_},
          {"sample.noise", noise_},
          {"sample.label", sample_label_},
          {"sample.levels", sample_levels_},
          {"sample.image", image_}};
}

Metadata DitReference::metadata() const {
  return {{"guidance", fmt::format("{}", guidance)}, {"steps", fmt::format("{}", steps)}};
}

}  // namespace blocktrain::trainer
