#include "blocks/objectives/classification.hpp"

#include "blocks/layers/class_head.hpp"

namespace blocktrain::blocks {
namespace {

using kernels::Arena;
using kernels::DType;
using kernels::GradientWrite;
using kernels::Ops;
using kernels::Tensor;

class Classification final : public Objective {
 public:
  Classification(const ClassificationConfig& config, const SampleLayout& layout, const BlockPlace& place,
                 ParameterLayout& parameters)
      : field_(layout.index_of(config.target)),
        classes_(layout.classes),
        head_(parameters, classes_, config.width, block_name(place)) {}

  Flops flops() const override { return {head_.flops_per_row(), 3 * head_.flops_per_row()}; }
  std::int64_t levels_per_sample() const override { return 0; }

  void bind(Arena& arena, DType dtype, std::int64_t samples, Pass pass) override {
    Tensor& logits = pass == Pass::training ? training_ : inference_;
    logits = arena.allocate(kernels::precise(dtype), {samples, classes_});
    head_.bind(arena, dtype, samples);
  }
  Tensor allocate_noisy(Arena&, DType, std::int64_t) const override { return {}; }
  Tensor allocate_estimate(Arena& arena, DType dtype, std::int64_t samples) const override {
    return arena.allocate(kernels::precise(dtype), {samples, classes_});
  }

  void draw_levels(Ops&, const Tensor&, const LevelDraw&) const override {}
  void add_noise(Ops&, const NetworkInput&, const kernels::RandomKey&, const kernels::StepState*) const override {}

  void loss(Ops& ops, const SampleLosses& losses, const LossGradients& gradients, const Tensor& f,
            const NetworkInput& input, double loss_scale, GradientWrite write) override {
    const bool training = !gradients.out.empty();
    const Tensor logits = (input.pass == Pass::training ? training_ : inference_).rows(0, input.samples());
    head_.forward(ops, logits, f);
    ops.cross_entropy(losses.unweighted, training ? logits : Tensor(), logits, input.batch.fields[field_], loss_scale);
    ops.copy(losses.loss, losses.unweighted);
    if (training) head_.backward(ops, gradients.out, logits, f, write);
  }

  void estimate(Ops& ops, const Tensor& logits, const NetworkInput&, const Tensor& f) override {
    head_.forward(ops, logits, f);
  }

 private:
  std::size_t field_;  // of the class
  std::int64_t classes_;
  ClassHead head_;
  Tensor training_, inference_;  // logits [N,V]
};

}  // namespace

std::unique_ptr<Objective> make_classification(const ClassificationConfig& config, const SampleLayout& layout,
                                               const BlockPlace& place, ParameterLayout& parameters) {
  return std::make_unique<Classification>(config, layout, place, parameters);
}

std::unique_ptr<Objective> classification_from(const Options&, const NetworkSettings& settings,
                                               const SampleLayout& layout, const BlockPlace& place,
                                               ParameterLayout& parameters) {
  return make_classification({"label", settings.width}, layout, place, parameters);
}

}  // namespace blocktrain::blocks
