#include "blocks/architectures/masked.hpp"

#include <string>
#include <vector>

#include "blocks/architectures/transformer_sizes.hpp"
#include "blocks/layers/dropout.hpp"
#include "blocks/layers/layer_stack.hpp"
#include "blocks/layers/noise_condition.hpp"
#include "blocks/layers/output_norm.hpp"
#include "blocks/layers/rotary_positions.hpp"

namespace blocktrain::blocks {
namespace {

using kernels::Arena;
using kernels::DType;
using kernels::GradientWrite;
using kernels::Ops;
using kernels::Tensor;

ConditionShape condition_of(const MaskedConfig& c) { return {c.width, c.noise_features, 0}; }
LayerShape layer_of(const MaskedConfig& c) {
  return {c.context, c.width, c.heads, c.mlp_ratio * c.width, c.keeps_cheap, true};
}

/// F = norm(layers(dropout(table[noisy]), c), c), c = MLP(features(level)).
class Masked final : public Network {
 public:
  Masked(const MaskedConfig& config, const BlockPlace& place, ParameterLayout& parameters)
      : config_(config),
        first_layer_(place.first_layer),
        table_(parameters.add_normal(block_name(place) + ".token_embedding.table", config.classes + 1, config.width,
                                     0.02, true)),
        condition_(parameters, condition_of(config), block_name(place)),
        layers_(parameters, layer_of(config), config.checkpointing, config.rows_at_once, place.first_layer,
                place.layers),
        norm_(parameters, config.width, true, block_name(place)) {}

  std::int64_t targets_per_sample() const override { return config_.context; }
  std::int64_t rows_per_sample() const override { return config_.context; }
  Flops flops() const override;
  double recomputed_flops(std::int64_t samples) const override { return layers_.recomputed_flops(samples); }
  std::int64_t samples_at_once(std::int64_t samples) const override { return layers_.samples_at_once(samples); }

  void bind(Arena& arena, DType dtype, std::int64_t samples, Pass pass) override;
  Tensor allocate_output(Arena& arena, DType dtype, std::int64_t samples) const override {
    return arena.allocate(dtype, {samples, config_.context, config_.width});
  }

  void begin(Ops& ops, const NetworkInput& input) override;
  void forward(Ops& ops, const Tensor& f, Range r) override;
  void backward(Ops& ops, const Tensor& df, const Tensor& dz, Range r, GradientWrite write) override;
  void finish(Ops& ops, GradientWrite write) override { condition_.backward(ops, at_.condition, write); }

 private:
  struct Memory {
    ConditionActivations condition;
    Tensor modulation;  // of the output's norm [N,2C]
    Tensor mean, rstd;  // of it [N,T]
    Memory first(std::int64_t n) const {
      return {condition.first(n), modulation.rows(0, n), mean.rows(0, n), rstd.rows(0, n)};
    }
  };

  Dropout dropout_from(std::int64_t begin) const { return Dropout::of(input_, config_.dropout).from(begin); }
  /// [n,T,C] as rows of tokens.
  Tensor token_rows(const Tensor& x) const { return x.reshaped({x.dim(0) * x.dim(1), x.dim(2)}); }

  MaskedConfig config_;
  int first_layer_;
  // In the order of the parameters.
  BoundParameter table_;
  NoiseCondition condition_;
  LayerStack layers_;
  OutputNorm norm_;

  Memory training_, inference_;
  NetworkInput input_;  // of the micro-batch
  Memory at_;           // of its samples
};

void Masked::bind(Arena& arena, DType dtype, std::int64_t samples, Pass pass) {
  const bool training = pass == Pass::training;
  const std::int64_t n = training ? samples : samples_at_once(samples);
  const Tensor angles =
      bind_rotary_angles(arena, dtype, 0, config_.context, config_.width / config_.heads, rotary_base);
  Memory m;
  m.condition = ConditionActivations::allocate(arena, dtype, condition_of(config_), n, training);
  layers_.bind(arena, dtype, config_.width, samples, pass, angles);
  m.modulation = arena.allocate(dtype, {n, 2 * config_.width});
  m.mean = arena.allocate(kernels::precise(dtype), {n, config_.context});
  m.rstd = arena.allocate(kernels::precise(dtype), {n, config_.context});
  (training ? training_ : inference_) = m;
}

void Masked::begin(Ops& ops, const NetworkInput& input) {
  const bool training = input.pass == Pass::training;
  input_ = input;
  at_ = (training ? training_ : inference_).first(input.samples());
  layers_.begin(input.samples(), input.pass, dropout_from(0));
  condition_.forward(ops, at_.condition, input.level);
  if (training) ops.fill(at_.condition.gradient, 0);
}

void Masked::forward(Ops& ops, const Tensor& f, Range r) {
  const Tensor x = layers_.input(r), c = rows_of(at_.condition.out, r), modulation = rows_of(at_.modulation, r);
  ops.embedding_forward(token_rows(x), table_.value(), rows_of(input_.noisy, r));
  dropout_from(r.begin).apply(ops, x, first_layer_, Dropout::Place::input);
  layers_.forward(ops, c, r);
  norm_.modulate(ops, modulation, c);
  norm_.forward(ops, f, rows_of(at_.mean, r), rows_of(at_.rstd, r), layers_.output(r), modulation);
}

void Masked::backward(Ops& ops, const Tensor& df, const Tensor& dz, Range r, GradientWrite write) {
  BLOCKTRAIN_EXPECTS(dz.empty());  // tokens are given
  const Tensor c = rows_of(at_.condition.out, r), dc = rows_of(at_.condition.gradient, r);
  const LayerScratch scratch = layers_.scratch(r);
  const Tensor& dx = scratch.flow;
  ops.fill(dx, 0);
  norm_.backward(ops, dc, dx, scratch.modulation.columns(0, 2 * config_.width), df, layers_.output(r),
                 rows_of(at_.mean, r), rows_of(at_.rstd, r), rows_of(at_.modulation, r), c, write);
  layers_.backward(ops, dc, c, r, write);
  dropout_from(r.begin).apply(ops, dx, first_layer_, Dropout::Place::input);
  if (write == GradientWrite::replace) ops.fill(table_.gradient(), 0);
  ops.embedding_backward(table_.gradient(), token_rows(dx), rows_of(input_.noisy, r));
}

Flops Masked::flops() const {
  const double inner =
      norm_.flops_per_sample() + condition_.differentiated_flops_per_sample() + layers_.product_flops();
  const double edge = condition_.flops_per_sample() - condition_.differentiated_flops_per_sample();
  return flops_of(inner, edge, layers_.attention_flops());
}

}  // namespace

std::unique_ptr<Network> make_masked(const MaskedConfig& config, const SampleLayout& layout, const BlockPlace& place,
                                     ParameterLayout& parameters) {
  MaskedConfig c = config;
  const Field& tokens = layout.field("tokens");
  require("masked", tokens.dtype == DType::int32 && tokens.shape == std::vector<std::int64_t>{c.context},
          "found samples that are not " + std::to_string(c.context) + " tokens (model.context)");
  require("masked", layout.classes >= 1, "found no symbols");
  c.classes = layout.classes;
  c.rows_at_once = c.rows_together(c.context);
  check_sizes("masked", c, 2, 2);
  return std::make_unique<Masked>(c, place, parameters);
}

std::unique_ptr<Network> masked_from(const Options& own, const NetworkSettings& settings, const SampleLayout& layout,
                                     const BlockPlace& place, ParameterLayout& parameters) {
  return make_masked({own.as<MaskedOptions>(), settings}, layout, place, parameters);
}

}  // namespace blocktrain::blocks
