#include "blocks/objectives/masked.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "blocks/layers/linear_cross_entropy.hpp"
#include "blocks/noise/mask_levels.hpp"
#include "kernels/error.hpp"

namespace blocktrain::blocks {
namespace {

using kernels::Arena;
using kernels::DType;
using kernels::GradientWrite;
using kernels::Ops;
using kernels::RandomKey;
using kernels::Tensor;

class MaskedTokens final : public Objective {
 public:
  MaskedTokens(const MaskedTokensConfig& config, const SampleLayout& layout, const BlockPlace& place,
               ParameterLayout& parameters)
      : field_(layout.index_of(config.target)),
        tokens_(layout.fields[field_].size()),
        width_(config.width),
        classes_(layout.classes),
        counts_(mask_counts(tokens_, place.index, place.count)),
        head_(parameters, block_name(place) + ".head", classes_, width_, config.rows_at_once) {}

  Flops flops() const override;
  double estimate_flops() const override { return static_cast<double>(tokens_) * head_.flops_per_row(); }

  void bind(Arena& arena, DType dtype, std::int64_t samples, Pass pass) override;
  Tensor allocate_noisy(Arena& arena, DType, std::int64_t samples) const override {
    return arena.allocate(DType::int32, {samples, tokens_});
  }
  Tensor allocate_estimate(Arena& arena, DType dtype, std::int64_t samples) const override {
    return arena.allocate(kernels::precise(dtype), {samples, tokens_, classes_});
  }

  void draw_levels(Ops& ops, const Tensor& level, const LevelDraw& draw) const override {
    ops.draw_mask_levels(level, draw.interval, tokens_, draw.key, draw.state, draw.first_sample, draw.of_samples);
  }
  void add_noise(Ops& ops, const NetworkInput& input, const RandomKey& key,
                 const kernels::StepState* state) const override {
    ops.mask_tokens(input.noisy, targets(input), input.level, mask(), key, state, input.batch.first_sample);
  }
  void loss(Ops& ops, const SampleLosses& losses, const LossGradients& gradients, const Tensor& f,
            const NetworkInput& input, double loss_scale, GradientWrite write) override;
  void estimate(Ops& ops, const Tensor& logits, const NetworkInput& input, const Tensor& f) override {
    const std::int64_t rows = input.samples() * tokens_;
    head_.logits(ops, logits.reshaped({rows, classes_}), f.reshaped({rows, width_}), input.pass);
  }
  void denoise(Ops&, const Tensor&, const NetworkInput&, const Tensor&) override {
    throw std::logic_error("tokens are unmasked by their logits: there is nothing to denoise");
  }

 private:
  /// Tensors of a pass over up to N samples; those of M rows are lists of masked ones.
  struct Memory {
    Tensor rows, labels, weights;  // [M]; see Ops::list_masked
    Tensor places;                 // [N,T]
    Tensor x;                      // [M,C] of F, then their gradients
    Tensor loss;                   // [M]
  };

  /// Stands for a masked token.
  std::int32_t mask() const { return static_cast<std::int32_t>(classes_); }
  Tensor targets(const NetworkInput& input) const { return input.batch.fields[field_]; }
  std::int64_t most_masked(Pass pass) const { return pass == Pass::training ? counts_.most() : tokens_; }
  std::int64_t listed_rows(const NetworkInput& input) const;

  std::size_t field_;  // of the tokens
  std::int64_t tokens_, width_, classes_;
  MaskCounts counts_;
  LinearCrossEntropy head_;
  Memory training_, inference_;
};

void MaskedTokens::bind(Arena& arena, DType dtype, std::int64_t samples, Pass pass) {
  const DType precise = kernels::precise(dtype);
  const std::int64_t most = samples * most_masked(pass);
  Memory m;
  m.rows = arena.allocate(DType::int32, {most});
  m.labels = arena.allocate(DType::int32, {most});
  m.weights = arena.allocate(precise, {most});
  m.places = arena.allocate(DType::int32, {samples, tokens_});
  m.x = arena.allocate(dtype, {most, width_});
  m.loss = arena.allocate(precise, {most});
  head_.bind(arena, dtype, most, pass);
  (pass == Pass::training ? training_ : inference_) = m;
}

/// Masked rows that `input` has at most: a number that shapes and the block's interval say. n neighbours of the G
/// samples of a global batch draw frac(u + i/G), n places that lie apart by 1/G on a circle, whose sum is below n -
/// n(n-1)/(2G).
std::int64_t MaskedTokens::listed_rows(const NetworkInput& input) const {
  const std::int64_t samples = input.samples(), most = samples * most_masked(input.pass);
  if (input.pass == Pass::inference || input.of_samples < samples) return most;
  const auto n = static_cast<double>(samples), all = static_cast<double>(input.of_samples);
  const double above = static_cast<double>(counts_.count) * (n - n * (n - 1) / (2 * all));
  return std::min(most, samples * (counts_.lo + 1) + static_cast<std::int64_t>(std::ceil(above)));
}

void MaskedTokens::loss(Ops& ops, const SampleLosses& losses, const LossGradients& gradients, const Tensor& f,
                        const NetworkInput& input, double loss_scale, GradientWrite write) {
  BLOCKTRAIN_EXPECTS(gradients.noisy.empty());
  const bool training = !gradients.out.empty();
  const Memory& m = input.pass == Pass::training ? training_ : inference_;
  const std::int64_t samples = input.samples(), listed = listed_rows(input);
  const auto as_rows = [&](const Tensor& t) { return t.reshaped({samples * tokens_, width_}); };
  const Tensor rows = m.rows.rows(0, listed), labels = m.labels.rows(0, listed), weights = m.weights.rows(0, listed);
  const Tensor places = m.places.rows(0, samples), x = m.x.rows(0, listed), loss = m.loss.rows(0, listed);
  ops.list_masked(rows, labels, weights, places, input.noisy, targets(input), input.level, mask());
  ops.embedding_forward(x, as_rows(f), rows);
  head_.loss(ops, loss, training ? x : Tensor(), x, labels, weights, loss_scale, input.pass, write);
  ops.sum_listed(losses.unweighted, loss, weights, places);
  ops.copy(losses.loss, losses.unweighted);
  if (training) ops.embedding_forward(as_rows(gradients.out), x, places);
}

Flops MaskedTokens::flops() const {
  // Of as many rows as are masked in the mean.
  const double head = counts_.mean() * head_.flops_per_row();
  return {head, 3 * head};
}

}  // namespace

std::unique_ptr<Objective> make_masked_tokens(const MaskedTokensConfig& config, const SampleLayout& layout,
                                              const BlockPlace& place, ParameterLayout& parameters) {
  const Field& field = layout.field(config.target);
  const std::int64_t tokens = field.size();
  if (field.dtype != DType::int32 || field.shape.size() != 1 || tokens < 1) {
    throw InputError("masked: found a field \"" + std::string(field.name) + "\" that is not a row of tokens");
  }
  if (place.count > tokens) {
    throw InputError("blocks.count: found " + std::to_string(place.count) + " blocks for " + std::to_string(tokens) +
                     " tokens (model.context); accepted: at most as many blocks as tokens");
  }
  if (layout.classes >= std::numeric_limits<std::int32_t>::max()) throw InputError("masked: found too many symbols");
  return std::make_unique<MaskedTokens>(config, layout, place, parameters);
}

std::unique_ptr<Objective> masked_tokens_from(const Options&, const NetworkSettings& settings,
                                              const SampleLayout& layout, const BlockPlace& place,
                                              ParameterLayout& parameters) {
  const std::int64_t tokens = layout.field("tokens").size();
  return make_masked_tokens({"tokens", settings.width, settings.rows_together(tokens)}, layout, place, parameters);
}

}  // namespace blocktrain::blocks
