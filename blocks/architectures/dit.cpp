#include "blocks/architectures/dit.hpp"

#include <cmath>
#include <string>
#include <vector>

#include "blocks/architectures/transformer_sizes.hpp"
#include "blocks/image_patches.hpp"
#include "blocks/layers/layer_stack.hpp"
#include "blocks/layers/noise_condition.hpp"
#include "blocks/layers/patch_embedding.hpp"
#include "blocks/layers/patch_head.hpp"
#include "kernels/error.hpp"

namespace blocktrain::blocks {
namespace {

using kernels::Arena;
using kernels::DType;
using kernels::GradientWrite;
using kernels::Ops;
using kernels::Tensor;

PatchGrid grid_of(const DitConfig& c) {
  return {c.height / c.patch, c.width_px / c.patch, c.patch_elements(), c.patch};
}
ConditionShape condition_of(const DitConfig& c) { return {c.width, c.noise_features, c.classes}; }
LayerShape layer_of(const DitConfig& c) { return {c.tokens(), c.width, c.heads, c.mlp_ratio * c.width, c.keeps_cheap}; }

/// F = head(layers(embedding(c_in(sigma) z), c), c), c = MLP(features(sigma)) + table[label].
class Dit final : public Network {
 public:
  Dit(const DitConfig& config, const SampleLayout& layout, const BlockPlace& place, ParameterLayout& parameters)
      : config_(config),
        label_(layout.index_of("label")),
        embedding_(parameters, grid_of(config), config.width, config.sigma_data, block_name(place)),
        condition_(parameters, condition_of(config), block_name(place)),
        layers_(parameters, layer_of(config), config.checkpointing, config.rows_at_once, place.first_layer,
                place.layers),
        head_(parameters, grid_of(config), config.width, block_name(place)) {}

  std::int64_t targets_per_sample() const override { return config_.tokens(); }
  std::int64_t rows_per_sample() const override { return config_.tokens(); }
  bool has_condition() const override { return true; }
  Flops flops() const override;
  double recomputed_flops(std::int64_t samples) const override { return layers_.recomputed_flops(samples); }
  std::int64_t samples_at_once(std::int64_t samples) const override { return layers_.samples_at_once(samples); }

  void bind(Arena& arena, DType dtype, std::int64_t samples, Pass pass) override;
  Tensor allocate_output(Arena& arena, DType dtype, std::int64_t samples) const override {
    return arena.allocate(kernels::precise(dtype), {samples, config_.channels, config_.height, config_.width_px});
  }

  void begin(Ops& ops, const NetworkInput& input) override;
  void forward(Ops& ops, const Tensor& f, Range r) override;
  void backward(Ops& ops, const Tensor& df, const Tensor& dz, Range r, GradientWrite write) override;
  void finish(Ops& ops, GradientWrite write) override { condition_.backward(ops, at_.condition, write); }

 private:
  struct Memory {
    Tensor positions;
    ConditionActivations condition;
    Tensor modulation;  // of the head [N,2C]
    Memory first(std::int64_t n) const { return {positions, condition.first(n), modulation.rows(0, n)}; }
  };

  void look_up_labels(Ops& ops);

  DitConfig config_;
  std::size_t label_;  // the field
  // In the order of the parameters.
  PatchEmbedding embedding_;
  NoiseCondition condition_;
  LayerStack layers_;
  PatchHead head_;

  Memory training_, inference_;
  NetworkInput input_;  // of the micro-batch
  Memory at_;           // of its samples
};

void Dit::bind(Arena& arena, DType dtype, std::int64_t samples, Pass pass) {
  const bool training = pass == Pass::training;
  const std::int64_t n = training ? samples : samples_at_once(samples);
  Memory m;
  m.positions = embedding_.bind_positions(arena, dtype);
  m.condition = ConditionActivations::allocate(arena, dtype, condition_of(config_), n, training);
  layers_.bind(arena, dtype, config_.patch_elements(), samples, pass);
  m.modulation = arena.allocate(dtype, {n, 2 * config_.width});
  (training ? training_ : inference_) = m;
}

void Dit::look_up_labels(Ops& ops) {
  const Tensor &index = at_.condition.index, &label = input_.batch.fields[label_];
  if (input_.state != nullptr && input_.condition == Condition::given) {
    kernels::RandomKey key = input_.key;
    key.purpose = kernels::Purpose::label_dropout;
    ops.drop_labels(index, label, condition_.none(), config_.label_dropout, key, input_.state,
                    input_.batch.first_sample);
  } else {
    ops.drop_labels(index, label, condition_.none(), input_.condition == Condition::none ? 1 : 0, {}, nullptr, 0);
  }
}

void Dit::begin(Ops& ops, const NetworkInput& input) {
  const bool training = input.pass == Pass::training;
  input_ = input;
  at_ = (training ? training_ : inference_).first(input.samples());
  layers_.begin(input.samples(), input.pass);
  look_up_labels(ops);
  condition_.forward(ops, at_.condition, input.level);
  if (training) ops.fill(at_.condition.gradient, 0);
}

void Dit::forward(Ops& ops, const Tensor& f, Range r) {
  const Tensor c = rows_of(at_.condition.out, r);
  embedding_.forward(ops, layers_.input(r), rows_of(input_.noisy, r), rows_of(input_.level, r), at_.positions,
                     layers_.scratch(r));
  layers_.forward(ops, c, r);
  head_.forward(ops, f, rows_of(at_.modulation, r), layers_.output(r), c, layers_.scratch(r));
}

void Dit::backward(Ops& ops, const Tensor& df, const Tensor& dz, Range r, GradientWrite write) {
  BLOCKTRAIN_EXPECTS(dz.empty());  // images are given
  const Tensor c = rows_of(at_.condition.out, r), dc = rows_of(at_.condition.gradient, r);
  const LayerScratch scratch = layers_.scratch(r);
  head_.backward(ops, dc, df, rows_of(at_.modulation, r), layers_.output(r), c, scratch, write);
  layers_.backward(ops, dc, c, r, write);
  embedding_.backward(ops, scratch.flow, rows_of(input_.noisy, r), rows_of(input_.level, r), scratch, write);
}

Flops Dit::flops() const {
  const auto tokens = static_cast<double>(config_.tokens());
  const double inner = tokens * head_.flops_per_token() + head_.flops_per_sample() +
                       condition_.differentiated_flops_per_sample() + layers_.product_flops();
  const double edge = tokens * embedding_.flops_per_token() + condition_.flops_per_sample() -
                      condition_.differentiated_flops_per_sample();
  return flops_of(inner, edge, layers_.attention_flops());
}

}  // namespace

void check(const DitConfig& c) {
  const auto at_least_one = [](std::int64_t value, const char* name) {
    require("dit", value >= 1, std::string(name) + " has to be 1 or more; found " + std::to_string(value));
  };
  at_least_one(c.channels, "channels");
  at_least_one(c.height, "image height");
  at_least_one(c.width_px, "image width");
  at_least_one(c.patch, "patch");
  at_least_one(c.classes, "classes");
  at_least_one(c.width, "width");
  at_least_one(c.heads, "heads");
  at_least_one(c.mlp_ratio, "mlp_ratio");
  at_least_one(c.noise_features, "noise_features");
  require("dit", c.height % c.patch == 0 && c.width_px % c.patch == 0,
          "patch has to divide the image; found " + std::to_string(c.patch));
  require("dit", c.width % 4 == 0 && c.width % c.heads == 0,
          "width has to be a multiple of 4 and of heads; found width " + std::to_string(c.width) + ", heads " +
              std::to_string(c.heads));
  require("dit", c.noise_features % 2 == 0, "noise_features has to be even; found " + std::to_string(c.noise_features));
  require("dit", c.label_dropout >= 0 && c.label_dropout <= 1,
          "label_dropout has to be from 0 to 1; found " + std::to_string(c.label_dropout));
  require("dit", c.sigma_data > 0 && std::isfinite(c.sigma_data),
          "sigma_data has to be above 0; found " + std::to_string(c.sigma_data));
}

DitConfig dit_for(DitConfig config, const SampleLayout& layout) {
  const ImageSize image = image_of(layout, config.patch, "dit");
  config.channels = image.channels;
  config.height = image.height;
  config.width_px = image.width;
  config.classes = layout.classes;
  config.rows_at_once = config.rows_together(config.tokens());
  return config;
}

std::unique_ptr<Network> make_dit(const DitConfig& config, const SampleLayout& layout, const BlockPlace& place,
                                  ParameterLayout& parameters) {
  const DitConfig fitting = dit_for(config, layout);
  check(fitting);
  return std::make_unique<Dit>(fitting, layout, place, parameters);
}

std::unique_ptr<Network> dit_from(const Options& own, const NetworkSettings& settings, const SampleLayout& layout,
                                  const BlockPlace& place, ParameterLayout& parameters) {
  return make_dit({own.as<DitOptions>(), settings}, layout, place, parameters);
}

}  // namespace blocktrain::blocks
