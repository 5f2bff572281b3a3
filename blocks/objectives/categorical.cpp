#include "blocks/objectives/categorical.hpp"

#include "blocks/layers/class_head.hpp"
#include "blocks/noise/preconditioning.hpp"

namespace blocktrain::blocks {
namespace {

using kernels::Arena;
using kernels::DType;
using kernels::GradientWrite;
using kernels::LevelFactor;
using kernels::Ops;
using kernels::RandomKey;
using kernels::Tensor;

class Categorical final : public Objective {
 public:
  Categorical(const CategoricalConfig& config, const SampleLayout& layout, const BlockPlace& place,
              ParameterLayout& parameters)
      : config_(config),
        field_(layout.index_of(config.target)),
        classes_(layout.classes),
        // Its rows are normalised, so the deviation says nothing but how fast they turn when they are trained.
        table_(parameters.add_shared_table("target_embedding.table", classes_, config.width,
                                           unit_row_deviation(config.width))),
        head_(parameters, classes_, config.width, block_name(place)) {}

  Flops flops() const override;
  bool trains_target() const override { return config_.trains_table; }

  void bind(Arena& arena, DType dtype, std::int64_t samples, Pass pass) override;
  Tensor allocate_noisy(Arena& arena, DType dtype, std::int64_t samples) const override {
    return arena.allocate(kernels::precise(dtype), {samples, config_.width});
  }
  Tensor allocate_estimate(Arena& arena, DType dtype, std::int64_t samples) const override {
    return arena.allocate(kernels::precise(dtype), {samples, classes_});
  }

  /// Makes the unit rows of the table as it is now.
  void begin(Ops& ops, Pass pass) override;
  void draw_levels(Ops& ops, const Tensor& sigma, const LevelDraw& draw) const override {
    ops.draw_sigma(sigma, draw.interval, draw.key, draw.state, draw.first_sample);
  }
  void add_noise(Ops& ops, const NetworkInput& input, const RandomKey& key,
                 const kernels::StepState* state) const override;
  void loss(Ops& ops, const SampleLosses& losses, const LossGradients& gradients, const Tensor& f,
            const NetworkInput& input, double loss_scale, GradientWrite write) override;
  void finish(Ops& ops, const Tensor& dz, const NetworkInput& input, GradientWrite write) override;
  void estimate(Ops& ops, const Tensor& logits, const NetworkInput& input, const Tensor& f) override;
  void denoise(Ops& ops, const Tensor& d, const NetworkInput& input, const Tensor& f) override;

 private:
  /// Tensors of a pass over up to N samples, of the precise type.
  struct Memory {
    Tensor table;          // E as it is, where the network's type is another
    Tensor unit, lengths;  // rows of E over their lengths [V,d], [V]
    Tensor rows;           // [N,d]: targets, then what the head reads, then gradients
    Tensor logits;         // [N,V]
    Tensor dunit;          // [V,d], where E is trained
  };

  bool analytic() const { return config_.evidence == Evidence::analytic; }
  const Memory& memory(Pass pass) const { return pass == Pass::training ? training_ : inference_; }
  Tensor labels(const NetworkInput& input) const { return input.batch.fields[field_]; }

  /// What the head reads: F, or what preconditioning makes of it, in `rows`.
  Tensor head_input(Ops& ops, const Tensor& rows, const NetworkInput& input, const Tensor& f) const;
  void compute_logits(Ops& ops, const Memory& m, const Tensor& logits, const NetworkInput& input,
                      const Tensor& f) const;

  CategoricalConfig config_;
  std::size_t field_;  // of the class
  std::int64_t classes_;
  BoundParameter table_;
  ClassHead head_;
  Memory training_, inference_;
};

void Categorical::bind(Arena& arena, DType dtype, std::int64_t samples, Pass pass) {
  const DType precise = kernels::precise(dtype);
  Memory m;
  if (precise != dtype) m.table = arena.allocate(precise, {classes_, config_.width});
  m.unit = arena.allocate(precise, {classes_, config_.width});
  m.lengths = arena.allocate(precise, {classes_});
  m.rows = arena.allocate(precise, {samples, config_.width});
  m.logits = arena.allocate(precise, {samples, classes_});
  if (pass == Pass::training && trains_target()) m.dunit = arena.allocate(precise, {classes_, config_.width});
  head_.bind(arena, dtype, samples);
  (pass == Pass::training ? training_ : inference_) = m;
}

void Categorical::begin(Ops& ops, Pass pass) {
  const Memory& m = memory(pass);
  if (!m.table.empty()) ops.convert(m.table, table_.value());
  ops.normalise_rows(m.unit, m.lengths, m.table.empty() ? table_.value() : m.table);
}

void Categorical::add_noise(Ops& ops, const NetworkInput& input, const RandomKey& key,
                            const kernels::StepState* state) const {
  const Memory& m = memory(input.pass);
  const Tensor y = m.rows.rows(0, input.samples());
  ops.embedding_forward(y, m.unit, labels(input));
  ops.add_noise(input.noisy, y, input.level, key, state, input.batch.first_sample);
}

Tensor Categorical::head_input(Ops& ops, const Tensor& rows, const NetworkInput& input, const Tensor& f) const {
  if (analytic()) return f;
  ops.denoised(rows, input.noisy, f, input.level, config_.sigma_data);
  return rows;
}

void Categorical::compute_logits(Ops& ops, const Memory& m, const Tensor& logits, const NetworkInput& input,
                                 const Tensor& f) const {
  const Tensor rows = m.rows.rows(0, input.samples());
  head_.forward(ops, logits, head_input(ops, rows, input, f));
  if (!analytic()) return;
  ops.scale_by_level(rows, input.noisy, input.level, LevelFactor::evidence, config_.sigma_data, false);
  ops.matmul(logits, rows, false, m.unit, true, true);
}

void Categorical::loss(Ops& ops, const SampleLosses& losses, const LossGradients& gradients, const Tensor& f,
                       const NetworkInput& input, double loss_scale, GradientWrite write) {
  const Memory& m = memory(input.pass);
  const std::int64_t n = input.samples();
  const Tensor logits = m.logits.rows(0, n), rows = m.rows.rows(0, n);
  const bool training = !gradients.out.empty();
  compute_logits(ops, m, logits, input, f);
  ops.cross_entropy(losses.unweighted, training ? logits : Tensor(), logits, labels(input), loss_scale);
  ops.copy(losses.loss, losses.unweighted);
  if (!training) return;

  const Tensor &dlogits = logits, &df = gradients.out, &dz = gradients.noisy;
  if (write == GradientWrite::replace && !trains_target()) ops.fill(table_.gradient(), 0);
  if (analytic()) {
    if (trains_target()) {
      // The evidence's part, past the network; `rows` holds z / sigma^2 still.
      ops.matmul(m.dunit, dlogits, true, rows, false, false);
      ops.matmul(rows, dlogits, false, m.unit, false, false);
      ops.scale_by_level(dz, rows, input.level, LevelFactor::evidence, config_.sigma_data, false);
    }
    head_.backward(ops, df, dlogits, f, write);
    return;
  }
  if (trains_target()) ops.fill(m.dunit, 0);
  head_.backward(ops, rows, dlogits, rows, write);
  if (trains_target()) ops.scale_by_level(dz, rows, input.level, LevelFactor::skip, config_.sigma_data, false);
  ops.scale_by_level(df, rows, input.level, LevelFactor::output, config_.sigma_data, false);
}

void Categorical::finish(Ops& ops, const Tensor& dz, const NetworkInput& input, GradientWrite write) {
  // z = E[class] + sigma eps.
  ops.embedding_backward(training_.dunit, dz, labels(input));
  if (write == GradientWrite::replace) ops.fill(table_.gradient(), 0);
  ops.normalise_rows_backward(table_.gradient(), training_.dunit, training_.unit, training_.lengths);
}

void Categorical::estimate(Ops& ops, const Tensor& logits, const NetworkInput& input, const Tensor& f) {
  compute_logits(ops, memory(input.pass), logits, input, f);
}

void Categorical::denoise(Ops& ops, const Tensor& d, const NetworkInput& input, const Tensor& f) {
  const Memory& m = memory(input.pass);
  const Tensor logits = m.logits.rows(0, input.samples());
  estimate(ops, logits, input, f);
  ops.softmax(logits, logits);
  ops.matmul(d, logits, false, m.unit, false, false);
}

Flops Categorical::flops() const {
  const double evidence = analytic() ? 2.0 * static_cast<double>(classes_) * static_cast<double>(config_.width) : 0;
  const double head = head_.flops_per_row();
  return {head + evidence, 3 * head + (trains_target() ? 3 : 1) * evidence};
}

}  // namespace

std::unique_ptr<Objective> make_categorical(const CategoricalConfig& config, const SampleLayout& layout,
                                            const BlockPlace& place, ParameterLayout& parameters) {
  return std::make_unique<Categorical>(config, layout, place, parameters);
}

std::unique_ptr<Objective> categorical_from(const Options& own, const NetworkSettings& settings,
                                            const SampleLayout& layout, const BlockPlace& place,
                                            ParameterLayout& parameters) {
  const auto& options = own.as<CategoricalOptions>();
  return make_categorical({"label", settings.width, settings.sigma_data, options.evidence,
                           options.target_embedding != TargetEmbedding::frozen},
                          layout, place, parameters);
}

}  // namespace blocktrain::blocks
