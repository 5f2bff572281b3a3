#include "tests/blocks/support.hpp"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <utility>

#include "blocks/parameters.hpp"
#include "kernels/random.hpp"

namespace blocktrain::blocks::test {

using kernels::Arena;
using kernels::DType;
using kernels::Tensor;

namespace {
std::size_t bytes_of(DType dtype, std::initializer_list<std::int64_t> dims) {
  return Tensor(nullptr, dtype, dims).bytes();
}
}  // namespace

HostTensor::HostTensor(DType dtype, std::initializer_list<std::int64_t> dims)
    : arena_(Arena::host("test", bytes_of(dtype, dims))), tensor_(arena_.allocate(dtype, dims)) {}

HostTensor::HostTensor(DType dtype, std::initializer_list<std::int64_t> dims, const std::vector<double>& values)
    : HostTensor(dtype, dims) {
  BLOCKTRAIN_EXPECTS(static_cast<std::int64_t>(values.size()) == tensor_.size());
  for (std::size_t i = 0; i < values.size(); ++i) set(tensor_, static_cast<std::int64_t>(i), values[i]);
}

std::vector<double> values_of(const Tensor& t) {
  std::vector<double> out(static_cast<std::size_t>(t.size()));
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = get(t, static_cast<std::int64_t>(i));
  return out;
}

std::vector<double> normal_values(const std::string& name, std::int64_t count, double deviation) {
  const kernels::RandomKey key{7, kernels::Purpose::test, 0};
  std::vector<double> out(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto w = kernels::random_words(key, name_hash(name), 0, static_cast<std::uint32_t>(i));
    const double radius = std::sqrt(-2 * std::log(kernels::uniform_open(w[0])));
    out[i] = static_cast<float>(deviation * radius * std::cos(2 * std::numbers::pi * kernels::uniform_open(w[1])));
  }
  return out;
}

double norm(const std::vector<double>& v) {
  double sum = 0;
  for (const double x : v) sum += x * x;
  return std::sqrt(sum);
}

double relative_difference(const std::vector<double>& a, const std::vector<double>& b) {
  BLOCKTRAIN_EXPECTS(a.size() == b.size());
  std::vector<double> difference(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) difference[i] = a[i] - b[i];
  return norm(difference) / norm(b);
}

SampleLayout dit_layout(const DitConfig& c) {
  return {
      {{"image", kernels::DType::float32, {c.channels, c.height, c.width_px}}, {"label", kernels::DType::int32, {}}},
      1,
      c.classes};
}

std::unique_ptr<Block> dit_block(const DitConfig& config, const BlockPlace& place, kernels::LossWeighting weighting) {
  const SampleLayout layout = dit_layout(config);
  ParameterLayout parameters;
  auto network = make_dit(config, layout, place, parameters);
  auto objective = make_gaussian({"image", config.sigma_data, weighting}, layout);
  return std::make_unique<Block>(place, std::move(network), std::move(objective), std::move(parameters));
}

Batch image_batch(const Tensor& image, const Tensor& label, std::uint32_t first_sample) {
  Batch batch;
  batch.fields[0] = image;
  batch.fields[1] = label;
  batch.first_sample = first_sample;
  return batch;
}

NetworkInput noisy_images(const Tensor& z, const Tensor& sigma, const Batch& batch) {
  NetworkInput input;
  input.batch = batch;
  input.noisy = z;
  input.level = sigma;
  return input;
}

BoundBlock::BoundBlock(std::unique_ptr<Block> block, DType dtype, std::int64_t samples)
    : block_(std::move(block)),
      flat_(Arena::host(
          "test parameters and gradient",
          2 * static_cast<std::size_t>(block_->parameter_elements()) * kernels::size_of(dtype) + Arena::alignment)),
      training_(bind("test training", &Block::bind_training, dtype, samples)),
      inference_(bind("test inference", &Block::bind_inference, dtype, samples)),
      parameters_(flat_.allocate(dtype, {block_->parameter_elements()})),
      gradient_(flat_.allocate(dtype, {block_->parameter_elements()})) {
  block_->bind_parameters(parameters_);
  block_->bind_gradient(gradient_);
}

Arena BoundBlock::bind(const char* purpose, void (Block::*method)(Arena&, DType, std::int64_t), DType dtype,
                       std::int64_t samples) {
  Arena measured = Arena::measuring(purpose);
  (block_.get()->*method)(measured, dtype, samples);
  Arena arena = Arena::host(purpose, measured.peak());
  (block_.get()->*method)(arena, dtype, samples);
  return arena;
}

void BoundBlock::randomize(double deviation) {
  for (const Parameter& p : block_->parameters()) {
    const Tensor view = view_of(parameters_, p);
    const std::vector<double> values = normal_values(p.name, p.size, deviation);
    for (std::int64_t i = 0; i < p.size; ++i) set(view, i, values[static_cast<std::size_t>(i)]);
  }
}

void check_gradient(const BoundBlock& d, const std::function<double()>& loss, const std::vector<std::string>& without) {
  std::fill_n(static_cast<std::byte*>(d.gradient().data), d.gradient().bytes(), std::byte{0});
  loss();
  const std::vector<double> gradient = values_of(d.gradient()), start = values_of(d.parameters());
  for (const Parameter& p : d->parameters()) {
    const std::vector<double> direction = normal_values("direction " + p.name, p.size, 1);
    double along = 0, square = 0;
    for (std::int64_t i = 0; i < p.size; ++i) {
      const double g = gradient[static_cast<std::size_t>(p.offset + i)];
      along += g * direction[static_cast<std::size_t>(i)];
      square += g * g;
    }
    const double h = 1e-5;
    const auto loss_at = [&](double t) {
      for (std::int64_t i = 0; i < p.size; ++i) {
        set(d.parameters(), p.offset + i,
            start[static_cast<std::size_t>(p.offset + i)] + t * direction[static_cast<std::size_t>(i)]);
      }
      return loss();
    };
    // Two differences whose errors in h^2 cancel: what is left is rounding.
    const auto slope = [&](double step) { return (loss_at(step) - loss_at(-step)) / (2 * step); };
    const double difference = (4 * slope(h) - slope(2 * h)) / 3;
    loss_at(0);
    if (std::find(without.begin(), without.end(), p.name) != without.end()) {
      BOOST_TEST(square == 0, p.name);
      continue;
    }
    BOOST_TEST(std::sqrt(square) > 1e-4, p.name << " has no gradient: the check would be empty");
    BOOST_TEST(std::abs(difference - along) < 2e-7 * std::sqrt(square), p.name << ": " << difference << " " << along);
  }
}

namespace {
std::vector<double> log_spaced(std::int64_t count) {
  std::vector<double> out(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<float>(0.03 * std::pow(1000.0, static_cast<double>(i) / static_cast<double>(count)));
  }
  return out;
}

std::vector<double> labels(std::int64_t count, std::int64_t classes) {
  std::vector<double> out(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = static_cast<double>(static_cast<std::int64_t>(i) % (classes + 1)) - 1;
  return out;
}
}  // namespace

Samples::Samples(const DitConfig& c, DType dtype, std::int64_t count)
    : y(dtype, {count, c.channels, c.height, c.width_px}, normal_values("y", count * c.image_elements(), c.sigma_data)),
      z(dtype, {count, c.channels, c.height, c.width_px}),
      sigma(dtype, {count}, log_spaced(count)),
      label(DType::int32, {count}, labels(count, c.classes)) {
  const std::vector<double> eps = normal_values("eps", count * c.image_elements(), 1);
  for (std::int64_t i = 0; i < (*z).size(); ++i) {
    set(*z, i, get(*y, i) + get(*sigma, i / c.image_elements()) * eps[static_cast<std::size_t>(i)]);
  }
}

DitConfig small_config() {
  DitConfig c;
  c.channels = 2;
  c.height = 4;
  c.width_px = 6;
  c.patch = 2;
  c.classes = 3;
  c.width = 12;
  c.heads = 3;
  c.mlp_ratio = 2;
  c.noise_features = 10;
  return c;
}

DitConfig odd_config() {
  DitConfig c = small_config();
  c.height = 10;
  c.width_px = 14;
  c.width = 28;
  c.heads = 2;
  c.mlp_ratio = 3;
  c.noise_features = 34;
  return c;
}

}  // namespace blocktrain::blocks::test
