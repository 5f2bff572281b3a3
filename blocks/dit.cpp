#include "blocks/dit.hpp"

#include <cmath>
#include <string>
#include <utility>

#include "blocks/denoising_objective.hpp"
#include "blocks/dit_condition.hpp"
#include "blocks/dit_embedding.hpp"
#include "blocks/dit_layer.hpp"
#include "blocks/dit_output.hpp"
#include "blocks/dit_scratch.hpp"
#include "blocks/parameters.hpp"
#include "kernels/error.hpp"

namespace blocktrain::blocks {
namespace {

using kernels::Arena;
using kernels::DType;
using kernels::GradientWrite;
using kernels::Ops;
using kernels::Purpose;
using kernels::RandomKey;
using kernels::Tensor;

/// Tensors of a training step of up to sigma.dim(0) samples.
struct TrainingMemory {
  Tensor positions;  // first: see PatchEmbedding::bind_positions
  Tensor z, f;       // [N, channels, height, width]; f also takes its own gradient
  Tensor sigma, loss, mse;
  ConditionActivations condition;
  std::vector<Tensor> streams;  // [N,T,C] input of each layer, then the output of the last
  // The rest of each layer; with checkpointing a single one, of a chunk, in which the layers take turns.
  std::vector<DitLayerActivations> layers;
  Tensor output_modulation;  // [N,2C]
  DitScratch scratch;        // of one chunk
};

/// Tensors of an evaluation; all but the losses are of one chunk.
struct InferenceMemory {
  Tensor positions;  // first: see PatchEmbedding::bind_positions
  Tensor z, f;
  Tensor loss, mse;
  ConditionActivations condition;
  Tensor stream, attention, log_sum_exp, output_modulation;
  DitScratch scratch;
};

class Dit final : public Denoiser {
 public:
  Dit(const DitConfig& config, const BlockPlace& place) : Dit(config, place, ParameterLayout{}) {}

  const BlockPlace& place() const override { return place_; }
  const std::vector<Parameter>& parameters() const override { return parameters_; }
  std::int64_t parameter_elements() const override { return elements_; }
  const std::vector<kernels::ElementRange>& undecayed() const override { return undecayed_; }
  std::int64_t tokens_per_sample() const override { return config_.tokens(); }
  Flops flops() const override;
  double recomputed_flops(std::int64_t samples) const override;

  void bind_parameters(const Tensor& flat) override;
  void bind_gradient(const Tensor& flat) override;
  void bind_training(Arena& arena, DType dtype, std::int64_t samples) override;
  void bind_inference(Arena& arena, DType dtype, std::int64_t samples) override;

  SampleLosses accumulate_gradient(Ops& ops, const Batch& batch, const StepSettings& settings) override;
  SampleLosses accumulate_gradient_at(Ops& ops, const NoisyBatch& batch, kernels::LossWeighting weighting,
                                      double loss_scale) override;
  SampleLosses evaluate(Ops& ops, const Batch& batch, const Tensor& sigma, const EvaluationSettings& settings) override;
  void denoise(Ops& ops, const Tensor& d, const Tensor& z, const Tensor& sigma, const Tensor& label) override;

 private:
  Dit(const DitConfig& config, const BlockPlace& place, ParameterLayout layout);

  static std::string prefix(const BlockPlace& place) { return "blocks." + std::to_string(place.index); }

  /// Forward and backward of samples whose rows of the class table stand in the condition's index.
  SampleLosses train(Ops& ops, const NoisyBatch& batch, kernels::LossWeighting weighting, double loss_scale,
                     GradientWrite write);
  void forward(Ops& ops, const NoisyBatch& batch, const Tensor& conditioning, std::int64_t begin, std::int64_t end);
  void backward(Ops& ops, const NoisyBatch& batch, const Tensor& conditioning, const Tensor& dconditioning,
                std::int64_t begin, std::int64_t end, GradientWrite write);
  /// F of one chunk of samples, in inference_.f.
  Tensor infer(Ops& ops, const Tensor& z, const Tensor& sigma, const Tensor& label);

  bool checkpoints() const { return config_.checkpointing == ActivationCheckpointing::layer; }
  /// Layers whose forward pass is repeated for their backward pass, when `samples` train together. In one chunk the
  /// last layer's activations are still there: nothing has run in their memory since.
  std::size_t layers_run_again(std::int64_t samples) const {
    if (!checkpoints()) return 0;
    return layers_.size() - (samples_per_chunk(config_, samples) == samples ? 1 : 0);
  }
  /// Activations of layer i for samples [begin, end) of a training step.
  DitLayerActivations activations(std::size_t i, std::int64_t begin, std::int64_t end) const {
    const Tensor input = training_.streams[i].rows(begin, end);
    return checkpoints() ? training_.layers.front().rows(0, end - begin, input)
                         : training_.layers[i].rows(begin, end, input);
  }
  /// Of one layer's attention, forward, per sample.
  double attention_flops() const;

  Tensor allocate_images(Arena& arena, DType dtype, std::int64_t samples) const {
    return arena.allocate(kernels::precise(dtype), {samples, config_.channels, config_.height, config_.width_px});
  }

  DitConfig config_;
  BlockPlace place_;
  DenoisingObjective objective_;
  PatchEmbedding embedding_;
  Condition condition_;
  std::vector<DitLayer> layers_;
  DitOutput output_;
  std::int64_t elements_ = 0;
  std::vector<Parameter> parameters_;
  std::vector<kernels::ElementRange> padding_, undecayed_;  // between them; and among them
  Tensor gradient_;                                         // flat

  TrainingMemory training_;
  InferenceMemory inference_;
};

std::vector<DitLayer> make_layers(ParameterLayout& layout, const DitConfig& config, const BlockPlace& place) {
  std::vector<DitLayer> layers;
  for (int i = 0; i < place.layers; ++i) layers.emplace_back(layout, config, place.first_layer + i);
  return layers;
}

// The members are built in the order of their declaration, which is the order of the parameters.
Dit::Dit(const DitConfig& config, const BlockPlace& place, ParameterLayout layout)
    : config_(config),
      place_(place),
      objective_(config.sigma_data),
      embedding_(layout, config, prefix(place)),
      condition_(layout, config, prefix(place)),
      layers_(make_layers(layout, config, place)),
      output_(layout, config, prefix(place)),
      elements_(layout.elements()),
      parameters_(layout.take()),
      padding_(padding_of(parameters_, elements_)),
      undecayed_(undecayed_of(parameters_, elements_)) {}

double Dit::attention_flops() const {
  const auto tokens = static_cast<double>(config_.tokens());
  return 4 * tokens * tokens * static_cast<double>(config_.width);
}

Flops Dit::flops() const {
  const auto tokens = static_cast<double>(config_.tokens());
  // Products whose input has a gradient cost two more in the backward pass, those at the edge of the network one more.
  double inner =
      tokens * output_.flops_per_token() + output_.flops_per_sample() + condition_.differentiated_flops_per_sample();
  for (const DitLayer& layer : layers_) inner += tokens * layer.flops_per_token() + layer.flops_per_sample();
  const double edge = tokens * embedding_.flops_per_token() + condition_.flops_per_sample() -
                      condition_.differentiated_flops_per_sample();
  const double attention = static_cast<double>(layers_.size()) * attention_flops();
  return {inner + edge + attention, 3 * inner + 2 * edge + 3.5 * attention};
}

double Dit::recomputed_flops(std::int64_t samples) const {
  double per_sample = 0;
  for (std::size_t i = 0; i < layers_run_again(samples); ++i) {
    per_sample += static_cast<double>(config_.tokens()) * layers_[i].flops_per_token() + layers_[i].flops_per_sample() +
                  attention_flops();
  }
  return static_cast<double>(samples) * per_sample;
}

void Dit::bind_parameters(const Tensor& flat) {
  BLOCKTRAIN_EXPECTS(flat.size() == elements_);
  embedding_.bind_parameters(flat, parameters_);
  condition_.bind_parameters(flat, parameters_);
  for (DitLayer& layer : layers_) layer.bind_parameters(flat, parameters_);
  output_.bind_parameters(flat, parameters_);
}

void Dit::bind_gradient(const Tensor& flat) {
  BLOCKTRAIN_EXPECTS(flat.size() == elements_);
  gradient_ = flat;
  embedding_.bind_gradient(flat, parameters_);
  condition_.bind_gradient(flat, parameters_);
  for (DitLayer& layer : layers_) layer.bind_gradient(flat, parameters_);
  output_.bind_gradient(flat, parameters_);
}

void Dit::bind_training(Arena& arena, DType dtype, std::int64_t samples) {
  BLOCKTRAIN_EXPECTS(samples >= 1);
  TrainingMemory t;
  t.positions = PatchEmbedding::bind_positions(arena, dtype, config_);
  t.z = allocate_images(arena, dtype, samples);
  t.f = allocate_images(arena, dtype, samples);
  t.sigma = arena.allocate(kernels::precise(dtype), {samples});
  t.loss = arena.allocate(kernels::precise(dtype), {samples});
  t.mse = arena.allocate(kernels::precise(dtype), {samples});
  t.condition = ConditionActivations::allocate(arena, dtype, config_, samples, true);
  const std::int64_t chunk = samples_per_chunk(config_, samples);
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    t.streams.push_back(arena.allocate(dtype, {samples, config_.tokens(), config_.width}));
    if (checkpoints() && i > 0) continue;
    t.layers.push_back(DitLayerActivations::allocate(arena, dtype, config_, checkpoints() ? chunk : samples));
  }
  t.streams.push_back(arena.allocate(dtype, {samples, config_.tokens(), config_.width}));
  t.output_modulation = arena.allocate(dtype, {samples, 2 * config_.width});
  t.scratch = DitScratch::allocate(arena, dtype, config_, chunk);
  training_ = std::move(t);
}

void Dit::bind_inference(Arena& arena, DType dtype, std::int64_t samples) {
  BLOCKTRAIN_EXPECTS(samples >= 1);
  const std::int64_t chunk = samples_per_chunk(config_, samples), tokens = config_.tokens(), width = config_.width;
  InferenceMemory m;
  m.positions = PatchEmbedding::bind_positions(arena, dtype, config_);
  m.z = allocate_images(arena, dtype, chunk);
  m.f = allocate_images(arena, dtype, chunk);
  m.loss = arena.allocate(kernels::precise(dtype), {samples});
  m.mse = arena.allocate(kernels::precise(dtype), {samples});
  m.condition = ConditionActivations::allocate(arena, dtype, config_, chunk, false);
  m.stream = arena.allocate(dtype, {chunk, tokens, width});
  m.attention = arena.allocate(dtype, {chunk, tokens, width});
  m.log_sum_exp = arena.allocate(kernels::precise(dtype), {chunk, config_.heads, tokens});
  m.output_modulation = arena.allocate(dtype, {chunk, 2 * width});
  m.scratch = DitScratch::allocate(arena, dtype, config_, chunk);
  inference_ = std::move(m);
}

/// Calls body(begin, end) for consecutive ranges of at most `chunk` samples. A template, for std::function allocates.
template <class Body>
void for_each_chunk(std::int64_t samples, std::int64_t chunk, const Body& body) {
  for (std::int64_t begin = 0; begin < samples; begin += chunk) body(begin, std::min(begin + chunk, samples));
}

SampleLosses Dit::accumulate_gradient(Ops& ops, const Batch& batch, const StepSettings& settings) {
  const std::int64_t samples = batch.target.dim(0);
  BLOCKTRAIN_EXPECTS(!training_.z.empty() && samples <= training_.z.dim(0));
  NoisyBatch noisy;
  noisy.noisy = training_.z.rows(0, samples);
  noisy.target = batch.target;
  noisy.sigma = training_.sigma.rows(0, samples);
  objective_.draw(ops, noisy.noisy, noisy.sigma, batch, settings, place_.index);
  const RandomKey key{settings.seed, Purpose::label_dropout, static_cast<std::uint32_t>(place_.index)};
  ops.drop_labels(training_.condition.index.rows(0, samples), batch.label, condition_.none(), config_.label_dropout,
                  key, settings.state, batch.first_sample);
  return train(ops, noisy, settings.weighting, settings.loss_scale, settings.gradient);
}

SampleLosses Dit::accumulate_gradient_at(Ops& ops, const NoisyBatch& batch, kernels::LossWeighting weighting,
                                         double loss_scale) {
  const std::int64_t samples = batch.noisy.dim(0);
  BLOCKTRAIN_EXPECTS(!training_.z.empty() && samples <= training_.z.dim(0));
  ops.drop_labels(training_.condition.index.rows(0, samples), batch.label, condition_.none(), 0, {}, nullptr, 0);
  return train(ops, batch, weighting, loss_scale, GradientWrite::add);
}

SampleLosses Dit::train(Ops& ops, const NoisyBatch& batch, kernels::LossWeighting weighting, double loss_scale,
                        GradientWrite write) {
  const std::int64_t samples = batch.noisy.dim(0);
  const std::int64_t chunk = training_.scratch.flow.dim(0);
  const Tensor f = training_.f.rows(0, samples);
  const SampleLosses losses{batch.sigma, training_.loss.rows(0, samples), training_.mse.rows(0, samples)};
  const ConditionActivations condition = training_.condition.first(samples);

  condition_.forward(ops, condition, batch.sigma);
  for_each_chunk(samples, chunk, [&](std::int64_t begin, std::int64_t end) {
    forward(ops, batch, condition.out.rows(begin, end), begin, end);
  });
  objective_.loss(ops, losses, f, batch, f, weighting, loss_scale);
  ops.fill(condition.gradient, 0);
  if (write == GradientWrite::replace) {
    for (const kernels::ElementRange& p : padding_) ops.fill(gradient_.rows(p.begin, p.end), 0);
  }
  for_each_chunk(samples, chunk, [&](std::int64_t begin, std::int64_t end) {
    backward(ops, batch, condition.out.rows(begin, end), condition.gradient.rows(begin, end), begin, end,
             begin == 0 ? write : GradientWrite::add);
  });
  condition_.backward(ops, condition, write);
  return losses;
}

void Dit::forward(Ops& ops, const NoisyBatch& batch, const Tensor& conditioning, std::int64_t begin, std::int64_t end) {
  const DitScratch scratch = training_.scratch.first(end - begin);
  const auto input_of = [&](std::size_t i) { return training_.streams[i].rows(begin, end); };
  embedding_.forward(ops, input_of(0), batch.noisy.rows(begin, end), batch.sigma.rows(begin, end), training_.positions,
                     scratch);
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    layers_[i].forward(ops, input_of(i + 1), activations(i, begin, end), conditioning, scratch);
  }
  output_.forward(ops, training_.f.rows(begin, end), training_.output_modulation.rows(begin, end),
                  input_of(layers_.size()), conditioning, scratch);
}

void Dit::backward(Ops& ops, const NoisyBatch& batch, const Tensor& conditioning, const Tensor& dconditioning,
                   std::int64_t begin, std::int64_t end, GradientWrite write) {
  const DitScratch scratch = training_.scratch.first(end - begin);
  output_.backward(ops, dconditioning, training_.f.rows(begin, end), training_.output_modulation.rows(begin, end),
                   training_.streams.back().rows(begin, end), conditioning, scratch, write);
  const std::size_t run_again = layers_run_again(batch.noisy.dim(0));
  for (std::size_t i = layers_.size(); i-- > 0;) {
    const DitLayerActivations kept = activations(i, begin, end);
    if (i < run_again) layers_[i].forward_again(ops, kept, conditioning, scratch);
    layers_[i].backward(ops, dconditioning, kept, conditioning, scratch, write);
  }
  embedding_.backward(ops, scratch.flow, batch.noisy.rows(begin, end), batch.sigma.rows(begin, end), scratch, write);
}

Tensor Dit::infer(Ops& ops, const Tensor& z, const Tensor& sigma, const Tensor& label) {
  const std::int64_t samples = z.dim(0);
  const DitScratch scratch = inference_.scratch.first(samples);
  const ConditionActivations condition = inference_.condition.first(samples);
  const Tensor stream = inference_.stream.rows(0, samples), f = inference_.f.rows(0, samples);
  const auto kept = DitLayerActivations::transient(config_, stream, inference_.attention.rows(0, samples),
                                                   inference_.log_sum_exp.rows(0, samples), scratch);
  ops.drop_labels(condition.index, label, condition_.none(), 0, {}, nullptr, 0);
  condition_.forward(ops, condition, sigma);
  embedding_.forward(ops, stream, z, sigma, inference_.positions, scratch);
  for (const DitLayer& layer : layers_) layer.forward(ops, stream, kept, condition.out, scratch);
  output_.forward(ops, f, inference_.output_modulation.rows(0, samples), stream, condition.out, scratch);
  return f;
}

SampleLosses Dit::evaluate(Ops& ops, const Batch& batch, const Tensor& sigma, const EvaluationSettings& settings) {
  const std::int64_t samples = batch.target.dim(0);
  BLOCKTRAIN_EXPECTS(!inference_.z.empty() && samples <= inference_.loss.dim(0) && sigma.dim(0) == samples);
  const RandomKey key{settings.seed, Purpose::evaluation, 0};
  for_each_chunk(samples, inference_.z.dim(0), [&](std::int64_t begin, std::int64_t end) {
    NoisyBatch chunk;
    chunk.noisy = inference_.z.rows(0, end - begin);
    chunk.target = batch.target.rows(begin, end);
    chunk.sigma = sigma.rows(begin, end);
    ops.add_noise(sample_rows(chunk.noisy), sample_rows(chunk.target), chunk.sigma, key, settings.state,
                  batch.first_sample + static_cast<std::uint32_t>(begin));
    const Tensor f = infer(ops, chunk.noisy, chunk.sigma, batch.label.rows(begin, end));
    const SampleLosses losses{chunk.sigma, inference_.loss.rows(begin, end), inference_.mse.rows(begin, end)};
    objective_.loss(ops, losses, {}, chunk, f, settings.weighting, 1);
  });
  return {sigma, inference_.loss.rows(0, samples), inference_.mse.rows(0, samples)};
}

void Dit::denoise(Ops& ops, const Tensor& d, const Tensor& z, const Tensor& sigma, const Tensor& label) {
  const std::int64_t samples = z.dim(0);
  BLOCKTRAIN_EXPECTS(!inference_.z.empty() && samples <= inference_.loss.dim(0));
  BLOCKTRAIN_EXPECTS(d.dim(0) == samples && sigma.dim(0) == samples && label.dim(0) == samples);
  for_each_chunk(samples, inference_.z.dim(0), [&](std::int64_t begin, std::int64_t end) {
    const Tensor f = infer(ops, z.rows(begin, end), sigma.rows(begin, end), label.rows(begin, end));
    objective_.estimate(ops, d.rows(begin, end), z.rows(begin, end), f, sigma.rows(begin, end));
  });
}

void require(bool fits, const std::string& message) {
  if (!fits) throw InputError("dit: " + message);
}

}  // namespace

void check(const DitConfig& c) {
  const auto at_least_one = [](std::int64_t value, const char* name) {
    require(value >= 1, std::string(name) + " has to be 1 or more; found " + std::to_string(value));
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
  require(c.height % c.patch == 0 && c.width_px % c.patch == 0,
          "images of " + std::to_string(c.height) + " x " + std::to_string(c.width_px) +
              " pixels cannot be cut into patches of " + std::to_string(c.patch) + " x " + std::to_string(c.patch) +
              "; take a patch that divides both sides");
  require(c.width % 4 == 0 && c.width % c.heads == 0, "width has to be a multiple of 4 and of heads; found width " +
                                                          std::to_string(c.width) + ", heads " +
                                                          std::to_string(c.heads));
  require(c.noise_features % 2 == 0, "noise_features has to be even; found " + std::to_string(c.noise_features));
  require(c.label_dropout >= 0 && c.label_dropout <= 1,
          "label_dropout has to be from 0 to 1; found " + std::to_string(c.label_dropout));
  require(c.sigma_data > 0 && std::isfinite(c.sigma_data),
          "sigma_data has to be above 0; found " + std::to_string(c.sigma_data));
}

std::unique_ptr<Denoiser> make_dit(const DitConfig& config, const BlockPlace& place) {
  check(config);
  BLOCKTRAIN_EXPECTS(place.layers >= 1 && place.first_layer >= 0 && place.index >= 0 && place.index < place.count);
  return std::make_unique<Dit>(config, place);
}

}  // namespace blocktrain::blocks
