#include "trainer/export/export.hpp"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>
#include <system_error>

#include "blocks/parameters.hpp"
#include "blocks/sampler.hpp"
#include "kernels/error.hpp"
#include "trainer/eval/whole_file.hpp"
#include "trainer/export/loader_script.hpp"
#include "trainer/export/safetensors.hpp"
#include "trainer/run/network.hpp"
#include "trainer/version.hpp"

namespace blocktrain::trainer {
namespace {

using kernels::Arena;
using kernels::DType;
using kernels::Tensor;

constexpr const char* out_option = "--out";
constexpr int sample_steps = 8;
constexpr std::int64_t most_references = 4096;  // of each kind; far more than runs have blocks

void make_folder(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error || !std::filesystem::is_directory(folder)) {
    throw InputError(fmt::format("{}: cannot create the folder '{}': {}", out_option, folder,
                                 error ? error.message() : std::string("something else has that name")));
  }
}

const char* partition_name(Partition p) {
  switch (p) {
    case Partition::equal_probability:
      return "equal_probability";
    case Partition::uniform:
      return "uniform";
    case Partition::uniform_log:
      return "uniform_log";
  }
  throw std::logic_error("a partition without a name");
}

/// Columns of the first block's noise embedding: the number of features it takes.
std::int64_t noise_features(const TrainedNetwork& network) {
  for (const blocks::Parameter& p : network.block(0).parameters()) {
    if (p.name == "blocks.0.noise_embedding.input.weight") return p.shape.at(1);
  }
  throw std::logic_error("a dit without noise embedding");
}

std::string network_json(const TrainedNetwork& network) {
  const Config& c = network.config();
  const DataShape& d = network.data().shape;
  nlohmann::ordered_json j;
  j["architecture"] = "dit";
  j["channels"] = d.channels;
  j["height"] = d.height;
  j["width"] = d.width;
  j["classes"] = d.classes;
  j["patch"] = c.model.patch;
  j["model_width"] = c.model.width;
  j["heads"] = c.model.heads;
  j["mlp_ratio"] = c.model.mlp_ratio;
  j["noise_features"] = noise_features(network);
  j["layers"] = nlohmann::ordered_json::array();
  for (int b = 0; b < network.blocks(); ++b) j["layers"].push_back(network.block(b).place().layers);
  j["partition"] = partition_name(c.noise.partition);
  j["edges"] = noise_schedule(c).edges();
  j["p_mean"] = c.noise.p_mean;
  j["p_std"] = c.noise.p_std;
  j["sigma_data"] = c.noise.sigma_data;
  j["target_deviation"] = network.data().deviation;
  return j.dump();
}

std::span<const float> floats(const Tensor& t) { return {t.as<float>(), static_cast<std::size_t>(t.size())}; }

/// Inputs and outputs of denoise() at the top and in the middle of every block's interval, with and without a class.
struct DenoiseReference {
  std::vector<float> z, d;
  std::vector<double> sigma;
  std::vector<std::int32_t> label;
};

DenoiseReference denoise_reference(TrainedNetwork& network) {
  const ImageShape shape = network.image_shape();
  const std::vector<double>& edges = network.network().schedule().edges();
  DenoiseReference r;
  for (std::size_t b = 0; b + 1 < edges.size() && r.sigma.size() < most_references; ++b) {
    for (const double sigma : {edges[b], std::sqrt(edges[b] * edges[b + 1])}) {
      for (const bool with_class : {true, false}) {
        r.sigma.push_back(sigma);
        r.label.push_back(with_class ? static_cast<std::int32_t>(r.sigma.size()) %
                                           static_cast<std::int32_t>(network.data().shape.classes)
                                     : -1);
      }
    }
  }
  const auto count = static_cast<std::int64_t>(r.sigma.size());
  const std::size_t bytes =
      2 * (static_cast<std::size_t>(shape.size()) * sizeof(float) + 2 * Arena::alignment) + 2 * Arena::alignment;
  Arena arena = Arena::host("reference", bytes);
  const Tensor z = arena.allocate(DType::float32, {1, shape.channels, shape.height, shape.width});
  const Tensor d = arena.allocate(DType::float32, {1, shape.channels, shape.height, shape.width});
  const Tensor label = arena.allocate(DType::int32, {1});
  kernels::Ops& ops = network.ops();
  for (std::int64_t i = 0; i < count; ++i) {
    const double sigma = r.sigma[static_cast<std::size_t>(i)];
    label.as<std::int32_t>()[0] = r.label[static_cast<std::size_t>(i)];
    ops.random_normal(z.reshaped({1, shape.size()}), {0, kernels::Purpose::evaluation}, 0,
                      static_cast<std::uint32_t>(i));
    ops.axpby(z, std::hypot(network.data().deviation, sigma), z, 0, z);
    network.network().denoise(ops, d, z, sigma, label);
    ops.synchronize();
    r.z.insert(r.z.end(), z.as<float>(), z.as<float>() + z.size());
    r.d.insert(r.d.end(), d.as<float>(), d.as<float>() + d.size());
  }
  return r;
}

/// Images of a few classes by Euler steps, and the noise they start from.
struct SampleReference {
  std::vector<float> noise, images;
  std::vector<std::int32_t> label;
};

SampleReference sample_reference(TrainedNetwork& network) {
  const ImageShape shape = network.image_shape();
  SampleReference r;
  const std::int64_t count = std::min<std::int64_t>(4, network.data().shape.classes);
  const auto bind = [&](Arena& arena, blocks::Sampler& sampler, Tensor& noise, Tensor& label) {
    sampler.bind(arena, DType::float32, count, shape.channels, shape.height, shape.width);
    noise = arena.allocate(DType::float32, {count, shape.size()});
    label = arena.allocate(DType::int32, {count});
  };
  blocks::Sampler sampler;
  Tensor noise, label;
  Arena sizing = Arena::measuring("samples");
  bind(sizing, sampler, noise, label);
  Arena arena = Arena::host("samples", sizing.peak());
  bind(arena, sampler, noise, label);
  for (std::int64_t i = 0; i < count; ++i) r.label.push_back(static_cast<std::int32_t>(i));
  std::memcpy(label.data, r.label.data(), label.bytes());

  kernels::Ops& ops = network.ops();
  blocks::SamplerSettings settings;
  settings.target_deviation = network.data().deviation;
  // What the sampler starts from, before it is scaled.
  ops.random_normal(noise, {settings.seed, kernels::Purpose::sampling}, 0, 0);
  ops.synchronize();
  r.noise.assign(noise.as<float>(), noise.as<float>() + noise.size());
  const auto denoise = [&](const Tensor& d, const Tensor& z, double sigma, const Tensor& labels) {
    network.network().denoise(ops, d, z, sigma, labels);
  };
  const Tensor images =
      sampler.run(ops, denoise, network.network().schedule().sampling_edges(sample_steps), label, settings, 0);
  ops.synchronize();
  r.images.assign(images.as<float>(), images.as<float>() + images.size());
  return r;
}

}  // namespace

void export_weights(const TrainedNetwork& network, const std::string& folder) {
  make_folder(folder);
  WholeFile file(folder + "/model.safetensors", out_option);
  std::vector<NamedTensor> tensors;
  for (int b = 0; b < network.blocks(); ++b) {
    for (const blocks::Parameter& p : network.block(b).parameters()) {
      tensors.push_back(named_tensor(p.name, "F32", p.shape, floats(blocks::view_of(network.parameters(b), p))));
    }
  }
  write_safetensors(
      file, tensors,
      {{"format", "blocktrain-dit"},
       {"version", "1"},
       {"network", network_json(network)},
       {"weights", network.weights_are_averages() ? "average" : "parameters"},
       {"steps", nlohmann::json(network.steps()).dump()},
       {"training", network.config().blocks.training == TrainingMode::end_to_end ? "end_to_end" : "block_local"},
       {"experiment", network.experiment()},
       {"config", to_yaml(network.config())},
       {"program", std::string("blocktrain ") + version()}});
  file.commit();
}

void export_loader(TrainedNetwork& network, const std::string& folder) {
  make_folder(folder);
  WholeFile script(folder + "/blocktrain_dit.py", out_option);
  script.write(loader_script());
  script.commit();

  const ImageShape s = network.image_shape();
  const DenoiseReference one = denoise_reference(network);
  const SampleReference many = sample_reference(network);
  const auto images = [&](std::size_t count) {
    return std::vector<std::int64_t>{static_cast<std::int64_t>(count), s.channels, s.height, s.width};
  };
  const auto list = [](std::size_t count) { return std::vector<std::int64_t>{static_cast<std::int64_t>(count)}; };
  const std::vector<NamedTensor> tensors = {
      named_tensor<float>("denoise/z", "F32", images(one.sigma.size()), one.z),
      named_tensor<double>("denoise/sigma", "F64", list(one.sigma.size()), one.sigma),
      named_tensor<std::int32_t>("denoise/label", "I32", list(one.label.size()), one.label),
      named_tensor<float>("denoise/d", "F32", images(one.sigma.size()), one.d),
      named_tensor<float>("sample/noise", "F32", images(many.label.size()), many.noise),
      named_tensor<std::int32_t>("sample/label", "I32", list(many.label.size()), many.label),
      named_tensor<float>("sample/images", "F32", images(many.label.size()), many.images),
  };
  WholeFile file(folder + "/reference.safetensors", out_option);
  write_safetensors(file, tensors,
                    {{"format", "blocktrain-dit-reference"},
                     {"version", "1"},
                     {"tolerance", fmt::format("{}", export_tolerance)},
                     {"sample_steps", std::to_string(sample_steps)}});
  file.commit();
}

}  // namespace blocktrain::trainer
