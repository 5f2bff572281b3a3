#include "blocks/architectures/vit.hpp"

#include <optional>
#include <string>
#include <vector>

#include "blocks/architectures/transformer_sizes.hpp"
#include "blocks/image_patches.hpp"
#include "blocks/layers/dropout.hpp"
#include "blocks/layers/layer_stack.hpp"
#include "blocks/layers/noise_condition.hpp"
#include "blocks/layers/patch_embedding.hpp"
#include "blocks/layers/token_head.hpp"
#include "blocks/noise/preconditioning.hpp"

namespace blocktrain::blocks {
namespace {

using kernels::Arena;
using kernels::DType;
using kernels::GradientWrite;
using kernels::Ops;
using kernels::Tensor;

PatchGrid grid_of(const VitConfig& c) {
  return {c.height / c.patch, c.width_px / c.patch, c.patch_elements(), c.patch};
}
ConditionShape condition_of(const VitConfig& c) { return {c.width, c.noise_features, 0}; }
LayerShape layer_of(const VitConfig& c) {
  return {c.tokens(), c.width, c.heads, c.mlp_ratio * c.width, c.keeps_cheap, c.denoises};
}

/// A block that denoises: F = head(layers(dropout([embedding(c_in(sigma) z), patches + positions]), c), c), where c is
/// MLP(features(sigma)). End to end a learnt token stands for the first, and there is no c.
class Vit final : public Network {
 public:
  Vit(const VitConfig& config, const SampleLayout& layout, const BlockPlace& place, ParameterLayout& parameters)
      : config_(config),
        first_layer_(place.first_layer),
        image_(layout.index_of("image")),
        patches_(parameters, grid_of(config), config.width, 0, block_name(place)),
        layers_(parameters, layer_of(config), config.checkpointing, config.rows_at_once, place.first_layer,
                place.layers),
        head_(parameters, config.width, config.denoises, block_name(place)) {
    if (config.denoises) {
      label_.emplace(parameters, block_name(place) + ".label_embedding", config.width, config.width,
                     Linear::Start::xavier);
      condition_.emplace(parameters, condition_of(config), block_name(place));
    } else {
      token_ = parameters.add_normal(block_name(place) + ".class_token", 1, config.width, 0.02, true);
    }
  }

  std::int64_t targets_per_sample() const override { return 1; }
  std::int64_t rows_per_sample() const override { return config_.tokens(); }
  Flops flops() const override;
  double recomputed_flops(std::int64_t samples) const override { return layers_.recomputed_flops(samples); }
  std::int64_t samples_at_once(std::int64_t samples) const override { return layers_.samples_at_once(samples); }

  void bind(Arena& arena, DType dtype, std::int64_t samples, Pass pass) override;
  Tensor allocate_output(Arena& arena, DType dtype, std::int64_t samples) const override {
    return arena.allocate(kernels::precise(dtype), {samples, config_.width});
  }

  void begin(Ops& ops, const NetworkInput& input) override;
  void forward(Ops& ops, const Tensor& f, Range r) override;
  void backward(Ops& ops, const Tensor& df, const Tensor& dz, Range r, GradientWrite write) override;
  void finish(Ops& ops, GradientWrite write) override {
    if (condition_) condition_->backward(ops, at_.condition, write);
  }

 private:
  struct Memory {
    Tensor positions;
    ConditionActivations condition;  // of a denoiser
    Tensor ones;                     // [N,1], of a classifier
    Tensor modulation;               // of the head [N,2C]
    Tensor dlabel;                   // of a denoiser in training, gradient of c_in z of a chunk [n,C]
    Memory first(std::int64_t n) const;
  };

  /// Of the target per component: what c_in scales by.
  double row_deviation() const { return unit_row_deviation(config_.width); }
  const Tensor& conditioning() const { return condition_ ? at_.condition.out : at_.ones; }
  Dropout dropout() const { return Dropout::of(input_, config_.dropout); }
  /// c_in(sigma) z of samples r, in scratch.wide.
  Tensor scaled_noisy(Ops& ops, Range r, const LayerScratch& scratch) const;
  /// All tokens but the first, in scratch.narrow.
  Tensor packed_patches(std::int64_t n, const LayerScratch& scratch) const;

  VitConfig config_;
  int first_layer_;
  std::size_t image_;  // the field
  PatchEmbedding patches_;
  LayerStack layers_;
  TokenHead head_;
  std::optional<Linear> label_;
  std::optional<NoiseCondition> condition_;
  BoundParameter token_;

  Memory training_, inference_;
  NetworkInput input_;  // of the micro-batch
  Memory at_;           // of its samples
};

Vit::Memory Vit::Memory::first(std::int64_t n) const {
  Memory m = *this;
  if (ones.empty()) {
    m.condition = condition.first(n);
  } else {
    m.ones = ones.rows(0, n);
  }
  m.modulation = modulation.rows(0, n);
  return m;
}

void Vit::bind(Arena& arena, DType dtype, std::int64_t samples, Pass pass) {
  const bool training = pass == Pass::training;
  const std::int64_t chunk = samples_at_once(samples), n = training ? samples : chunk;
  Memory m;
  m.positions = patches_.bind_positions(arena, dtype);
  if (condition_) {
    m.condition = ConditionActivations::allocate(arena, dtype, condition_of(config_), n, training);
    if (training) m.dlabel = arena.allocate(kernels::precise(dtype), {chunk, config_.width});
  } else {
    m.ones = arena.allocate(dtype, {n, 1});
  }
  layers_.bind(arena, dtype, config_.patch_elements(), samples, pass);
  m.modulation = arena.allocate(dtype, {n, 2 * config_.width});
  (training ? training_ : inference_) = m;
}

void Vit::begin(Ops& ops, const NetworkInput& input) {
  const bool training = input.pass == Pass::training;
  input_ = input;
  at_ = (training ? training_ : inference_).first(input.samples());
  layers_.begin(input.samples(), input.pass, dropout());
  if (condition_) {
    condition_->forward(ops, at_.condition, input.level);
    if (training) ops.fill(at_.condition.gradient, 0);
  } else {
    ops.fill(at_.ones, 1);
  }
}

Tensor Vit::scaled_noisy(Ops& ops, Range r, const LayerScratch& scratch) const {
  const Tensor scaled = scratch.wide_as(r.size(), 1, config_.width).reshaped({r.size(), config_.width});
  ops.scale_by_level(scaled, rows_of(input_.noisy, r), rows_of(input_.level, r), kernels::LevelFactor::input,
                     row_deviation(), false);
  return scaled;
}

Tensor Vit::packed_patches(std::int64_t n, const LayerScratch& scratch) const {
  const std::int64_t size = n * config_.patches() * config_.width;
  return scratch.narrow.reshaped({scratch.narrow.size()}).rows(0, size).reshaped({n, config_.patches(), config_.width});
}

void Vit::forward(Ops& ops, const Tensor& f, Range r) {
  const Tensor x = layers_.input(r), c = rows_of(conditioning(), r);
  const LayerScratch scratch = layers_.scratch(r);
  const Tensor patches = packed_patches(r.size(), scratch);
  patches_.forward(ops, patches, rows_of(input_.batch.fields[image_], r), {}, at_.positions, scratch);
  ops.copy(other_tokens(x), sample_rows(patches));
  if (label_) {
    label_->forward(ops, first_tokens(x), scaled_noisy(ops, r, scratch));
  } else {
    ops.matmul(first_tokens(x), c, false, token_.value(), false, false);
  }
  dropout().from(r.begin).apply(ops, x, first_layer_, Dropout::Place::input);
  layers_.forward(ops, c, r);
  head_.forward(ops, f, rows_of(at_.modulation, r), layers_.output(r), c, scratch);
}

void Vit::backward(Ops& ops, const Tensor& df, const Tensor& dz, Range r, GradientWrite write) {
  const Tensor c = rows_of(conditioning(), r), dc = rows_of(at_.condition.gradient, r);
  const LayerScratch scratch = layers_.scratch(r);
  head_.backward(ops, dc, df, rows_of(at_.modulation, r), layers_.output(r), c, scratch, write);
  layers_.backward(ops, dc, c, r, write);

  const Tensor& dx = scratch.flow;
  dropout().from(r.begin).apply(ops, dx, first_layer_, Dropout::Place::input);
  if (label_) {
    label_->backward_parameters(ops, first_tokens(dx), scaled_noisy(ops, r, scratch), write);
    if (!dz.empty()) {
      const Tensor dlabel = at_.dlabel.rows(0, r.size());
      label_->backward_input(ops, dlabel, first_tokens(dx));
      ops.scale_by_level(dz, dlabel, rows_of(input_.level, r), kernels::LevelFactor::input, row_deviation(), true);
    }
  } else {
    ops.matmul(token_.gradient(), c, true, first_tokens(dx), false, write == GradientWrite::add);
  }
  const Tensor dpatches = packed_patches(r.size(), scratch);
  ops.copy(sample_rows(dpatches), other_tokens(dx));
  patches_.backward(ops, dpatches, rows_of(input_.batch.fields[image_], r), {}, scratch, write);
}

Flops Vit::flops() const {
  // The product of the noisy label counts as one at the edge, also where its table is trained.
  double inner = head_.flops_per_sample() + layers_.product_flops();
  double edge = static_cast<double>(config_.patches()) * patches_.flops_per_token();
  if (condition_) {
    inner += condition_->differentiated_flops_per_sample();
    edge += condition_->flops_per_sample() - condition_->differentiated_flops_per_sample() + label_->flops_per_row();
  }
  return flops_of(inner, edge, layers_.attention_flops());
}

}  // namespace

std::unique_ptr<Network> make_vit(const VitConfig& config, const SampleLayout& layout, const BlockPlace& place,
                                  ParameterLayout& parameters) {
  VitConfig c = config;
  const ImageSize image = image_of(layout, config.patch, "vit");
  c.channels = image.channels;
  c.height = image.height;
  c.width_px = image.width;
  c.rows_at_once = c.rows_together(c.tokens());
  check_sizes("vit", c, 4, 1);
  return std::make_unique<Vit>(c, layout, place, parameters);
}

std::unique_ptr<Network> vit_from(const Options& own, const NetworkSettings& settings, const SampleLayout& layout,
                                  const BlockPlace& place, ParameterLayout& parameters) {
  return make_vit({own.as<VitOptions>(), settings}, layout, place, parameters);
}

}  // namespace blocktrain::blocks
