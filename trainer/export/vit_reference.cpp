#include "trainer/export/vit_reference.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "blocks/noise/preconditioning.hpp"
#include "blocks/noise/sampler.hpp"
#include "kernels/error.hpp"
#include "kernels/random.hpp"
#include "trainer/plan/network.hpp"

namespace blocktrain::trainer {
namespace {

using kernels::Arena;
using kernels::DType;
using kernels::Purpose;
using kernels::RandomKey;
using kernels::Tensor;

constexpr std::int64_t classified = 6;
constexpr int steps = 5;
constexpr RandomKey noise_key{0, Purpose::sampling, 0};

blocks::Batch batch_of(const TrainedNetwork& network, const Tensor& image) {
  blocks::Batch batch;
  batch.fields[network.data().layout.index_of("image")] = image;
  return batch;
}

}  // namespace

VitReference::VitReference(TrainedNetwork& network) {
  BLOCKTRAIN_EXPECTS(network.device().shares_host_memory());
  std::vector<double> sigmas;
  if (trained_objective(network.config()).levels != blocks::Levels::none)
    sigmas = reference_levels(network.network().schedule());
  Arena sizing = Arena::measuring("reference batch");
  allocate(sizing, network, static_cast<std::int64_t>(sigmas.size()));
  arena_.emplace(Arena::host("reference batch", sizing.peak()));
  allocate(*arena_, network, static_cast<std::int64_t>(sigmas.size()));

  draw_inputs(network, sigmas);
  evaluate(network);
  classify(network);
  network.ops().synchronize();
}

void VitReference::allocate(Arena& arena, const TrainedNetwork& network, std::int64_t levels) {
  const blocks::Block& block = network.block(0);
  const std::vector<std::int64_t>& shape = network.data().layout.field("image").shape;
  image_ = blocks::allocate_samples(arena, DType::float32, classified, shape);
  logits_ = block.allocate_estimate(arena, DType::float32, classified);
  if (levels == 0) return;
  evaluated_image_ = blocks::allocate_samples(arena, DType::float32, levels, shape);
  evaluated_ = block.allocate_estimate(arena, DType::float32, levels);
  z_ = block.allocate_noisy(arena, DType::float32, levels);
  sigma_ = arena.allocate(DType::float64, {levels});
  noise_ = block.allocate_noisy(arena, DType::float32, classified);
  levels_ = arena.allocate(DType::float64, {steps + 1});
  for (Tensor* t : {&at_, &d_}) *t = block.allocate_noisy(arena, DType::float32, 1);
}

void VitReference::draw_inputs(TrainedNetwork& network, const std::vector<double>& sigmas) {
  kernels::Ops& ops = network.ops();
  std::uint32_t first = 0;
  for (const Tensor& t : {image_, noise_, evaluated_image_, z_}) {
    if (t.empty()) continue;
    ops.random_normal(t.reshaped({t.dim(0), t.row_size()}), noise_key, 0, first);
    first += static_cast<std::uint32_t>(t.dim(0));
  }
  for (std::size_t i = 0; i < sigmas.size(); ++i) {
    const auto row = static_cast<std::int64_t>(i);
    const Tensor z = z_.rows(row, row + 1);
    ops.axpby(z, std::hypot(blocks::unit_row_deviation(z.row_size()), sigmas[i]), z, 0, z);
    sigma_.as<double>()[i] = sigmas[i];
  }
}

void VitReference::evaluate(TrainedNetwork& network) {
  for (std::int64_t i = 0; i < (z_.empty() ? 0 : z_.dim(0)); ++i) {
    const auto row = [i](const Tensor& t) { return t.rows(i, i + 1); };
    network.network().estimate(network.ops(), row(evaluated_), row(z_), sigma_.as<double>()[i],
                               batch_of(network, row(evaluated_image_)));
  }
}

void VitReference::classify(TrainedNetwork& network) {
  kernels::Ops& ops = network.ops();
  std::vector<double> levels;
  if (!levels_.empty()) {
    levels = network.network().schedule().sampling_edges(steps);
    std::copy(levels.begin(), levels.end(), levels_.as<double>());
  }
  for (std::int64_t i = 0; i < classified; ++i) {
    const Tensor logits = logits_.rows(i, i + 1);
    const blocks::Batch batch = batch_of(network, image_.rows(i, i + 1));
    if (levels.empty()) {
      network.network().estimate(ops, logits, {}, 0, batch);
      continue;
    }
    ops.axpby(at_, std::hypot(blocks::unit_row_deviation(at_.row_size()), levels.front()), noise_.rows(i, i + 1), 0,
              at_);
    for (std::size_t s = 0; s + 2 < levels.size(); ++s) {
      network.network().denoise(ops, d_, at_, levels[s], batch);
      blocks::euler_step(ops, at_, d_, levels[s], levels[s + 1]);
    }
    network.network().estimate(ops, logits, at_, levels[levels.size() - 2], batch);
  }
}

std::vector<NamedTensor> VitReference::tensors() const {
  std::vector<NamedTensor> all{{"classify.image", image_}, {"classify.logits", logits_}};
  if (z_.empty()) return all;
  all.insert(all.end(), {{"evaluate.image", evaluated_image_},
                         {"evaluate.z", z_},
                         {"evaluate.sigma", sigma_},
                         {"evaluate.logits", evaluated_},
                         {"classify.noise", noise_},
                         {"classify.levels", levels_}});
  return all;
}

Metadata VitReference::metadata() const {
  if (z_.empty()) return {};
  return {{"steps", fmt::format("{}", steps)}};
}

}  // namespace blocktrain::trainer
