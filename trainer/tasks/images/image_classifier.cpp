#include "trainer/tasks/images/image_classifier.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "kernels/error.hpp"
#include "trainer/tasks/images/image_samples.hpp"

namespace blocktrain::trainer {

using blocks::Linear;
using kernels::Arena;
using kernels::DType;
using kernels::Purpose;
using kernels::random_words;
using kernels::Tensor;

namespace {

constexpr std::uint32_t choice_stream = 0, noise_stream = 1;  // RandomKey::block of what is drawn
constexpr kernels::AdamWParameters adamw_defaults{};

/// `from` moved by (dx, dy) pixels and perhaps mirrored; pixels from outside repeat the edge.
void shift_image(const float* from, const ImageShape& s, std::int64_t dx, std::int64_t dy, bool flip, float* to) {
  for (std::int64_t c = 0; c < s.channels; ++c) {
    for (std::int64_t y = 0; y < s.height; ++y) {
      const float* row = from + (c * s.height + std::clamp<std::int64_t>(y - dy, 0, s.height - 1)) * s.width;
      for (std::int64_t x = 0; x < s.width; ++x) {
        const std::int64_t source = std::clamp<std::int64_t>(x - dx, 0, s.width - 1);
        *to++ = row[flip ? s.width - 1 - source : source];
      }
    }
  }
}

}  // namespace

ClassifierSettings classifier_settings(const ImageShape& shape, bool flip) {
  ClassifierSettings s;
  s.flip = flip;
  if (std::min(shape.height, shape.width) < 16) {
    s.hidden = 128;
    s.steps = 1000;
    s.shift = false;
    s.noise = 0.2;
  }
  return s;
}

ImageClassifier::ImageClassifier(kernels::Ops& ops, const ImageShape& shape, std::int64_t classes,
                                 const ClassifierSettings& settings)
    : ops_(ops),
      shape_(shape),
      classes_(classes),
      settings_(settings),
      layers_{Linear(layout_, "classifier.first", settings.hidden, shape.size(), Linear::Start::xavier),
              Linear(layout_, "classifier.second", settings.hidden, settings.hidden, Linear::Start::xavier),
              Linear(layout_, "classifier.output", classes, settings.hidden, Linear::Start::xavier)} {
  BLOCKTRAIN_EXPECTS(ops.dtype() == DType::float32 && settings.batch >= 1 && settings.steps >= 1);
  Arena sizing = Arena::measuring("classifier");
  bind(sizing);
  arena_.emplace(Arena::host("classifier", sizing.peak()));
  bind(*arena_);
  blocks::bind_tensors(layout_.tensors()->values, layout_.parameters(), parameters_);
  blocks::bind_tensors(layout_.tensors()->gradients, layout_.parameters(), gradient_);
}

void ImageClassifier::bind(Arena& arena) {
  for (Tensor* t : {&parameters_, &gradient_, &first_moment_, &second_moment_}) {
    *t = arena.allocate(DType::float32, {layout_.elements()});
  }
  const std::int64_t rows = settings_.batch;
  for (Tensor* t : {&images_, &noise_}) *t = arena.allocate(DType::float32, {rows, shape_.size()});
  labels_ = arena.allocate(DType::int32, {rows});
  for (Tensor* t : {&hidden1_, &active1_, &hidden2_, &active2_, &d1_, &d2_}) {
    *t = arena.allocate(DType::float32, {rows, settings_.hidden});
  }
  logits_ = arena.allocate(DType::float32, {rows, classes_});
  loss_ = arena.allocate(DType::float32, {rows});
}

std::int64_t ImageClassifier::parameter_count() const {
  std::int64_t n = 0;
  for (const blocks::Parameter& p : layout_.parameters()) n += p.size;
  return n;
}

void ImageClassifier::fill_images(const ImageDataset& data, std::uint32_t step) {
  std::vector<float> plain(static_cast<std::size_t>(shape_.size()));
  const auto images = static_cast<std::uint64_t>(data.count(Split::train));
  for (std::int64_t i = 0; i < settings_.batch; ++i) {
    const auto words =
        random_words({settings_.seed, Purpose::classifier, choice_stream}, step, static_cast<std::uint32_t>(i), 0);
    const auto index = static_cast<std::int64_t>(words[0] * images >> 32);
    float* out = images_.as<float>() + i * shape_.size();
    fill_image(data, Split::train, index, false, plain.data());
    const std::int64_t reach = settings_.shift ? 1 : 0;
    const auto offset = [reach](std::uint32_t word) { return static_cast<std::int64_t>(word % 3) * reach - reach; };
    shift_image(plain.data(), shape_, offset(words[1]), offset(words[2]), settings_.flip && words[3] % 2 == 1, out);
    labels_.as<std::int32_t>()[i] = data.label(Split::train, index);
  }
  data.require_unchanged();
  if (settings_.noise > 0) {
    ops_.random_normal(noise_, {settings_.seed, Purpose::classifier, noise_stream}, step, 0);
    ops_.axpby(images_, 1, images_, settings_.noise, noise_);
  }
}

void ImageClassifier::forward(std::int64_t rows) {
  const auto first = [rows](const Tensor& t) { return t.rows(0, rows); };
  layers_.first.forward(ops_, first(hidden1_), first(images_));
  ops_.gelu_forward(first(active1_), first(hidden1_));
  layers_.second.forward(ops_, first(hidden2_), first(active1_));
  ops_.gelu_forward(first(active2_), first(hidden2_));
  layers_.output.forward(ops_, first(logits_), first(active2_));
}

void ImageClassifier::step(std::uint32_t number) {
  forward(settings_.batch);
  ops_.cross_entropy(loss_, logits_, logits_, labels_, 1.0 / static_cast<double>(settings_.batch));
  layers_.output.backward_parameters(ops_, logits_, active2_, kernels::GradientWrite::replace);
  layers_.output.backward_input(ops_, d2_, logits_);
  ops_.gelu_backward(d2_, d2_, hidden2_);
  layers_.second.backward_parameters(ops_, d2_, active1_, kernels::GradientWrite::replace);
  layers_.second.backward_input(ops_, d1_, d2_);
  ops_.gelu_backward(d1_, d1_, hidden1_);
  layers_.first.backward_parameters(ops_, d1_, images_, kernels::GradientWrite::replace);

  const double done = static_cast<double>(number) / static_cast<double>(settings_.steps);
  state_ = {};
  state_.step = number;
  state_.learning_rate = static_cast<float>(settings_.learning_rate * 0.5 * (1 + std::cos(std::numbers::pi * done)));
  state_.bias_correction1 = static_cast<float>(1 - std::pow(adamw_defaults.beta1, number + 1));
  state_.bias_correction2 = static_cast<float>(1 - std::pow(adamw_defaults.beta2, number + 1));
  state_.clip_norm = 1;
  ops_.sum_squares(&state_, gradient_);
  ops_.clip_gradient(&state_);
  kernels::AdamWParameters adamw = adamw_defaults;
  adamw.weight_decay = settings_.weight_decay;
  ops_.adamw(parameters_, first_moment_, second_moment_, {}, gradient_, &state_, adamw);
}

void ImageClassifier::train(const ImageDataset& data, const ReportProgress& report) {
  BLOCKTRAIN_EXPECTS(data.shape() == shape_);
  // Keyed by the parameters' names, which no block has.
  blocks::initialize(parameters_, layout_.parameters(), settings_.seed);
  for (const Tensor& t : {first_moment_, second_moment_}) ops_.fill(t, 0);
  for (std::int64_t i = 0; i < settings_.steps; ++i) {
    fill_images(data, static_cast<std::uint32_t>(i));
    step(static_cast<std::uint32_t>(i));
    if (report) report(i + 1, settings_.steps);
  }
  ops_.synchronize();
}

ImageClassifier::Judgement ImageClassifier::judge(const std::vector<float>& images) {
  Judgement j;
  const std::int64_t size = shape_.size(), count = static_cast<std::int64_t>(images.size()) / size;
  for (std::int64_t begin = 0; begin < count; begin += settings_.batch) {
    const std::int64_t rows = std::min(settings_.batch, count - begin);
    std::memcpy(images_.data, images.data() + begin * size, static_cast<std::size_t>(rows * size) * sizeof(float));
    forward(rows);
    ops_.synchronize();
    j.features.insert(j.features.end(), active2_.as<float>(), active2_.as<float>() + rows * settings_.hidden);
    for (std::int64_t i = 0; i < rows; ++i) {
      const float* row = logits_.as<float>() + i * classes_;
      j.classes.push_back(static_cast<std::int32_t>(std::max_element(row, row + classes_) - row));
    }
  }
  return j;
}

double agreement(const std::vector<std::int32_t>& a, const std::vector<std::int32_t>& b) {
  BLOCKTRAIN_EXPECTS(a.size() == b.size() && !a.empty());
  std::size_t same = 0;
  for (std::size_t i = 0; i < a.size(); ++i) same += a[i] == b[i] ? 1 : 0;
  return static_cast<double>(same) / static_cast<double>(a.size());
}

}  // namespace blocktrain::trainer
