#include "trainer/eval/trained_network.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <span>

#include "kernels/error.hpp"
#include "trainer/checkpoint/resume.hpp"
#include "trainer/data/dataset_statistics.hpp"
#include "trainer/run/network.hpp"
#include "trainer/run/run_folder.hpp"
#include "trainer/run/threads.hpp"

namespace blocktrain::trainer {
namespace {

using kernels::Arena;
using kernels::DType;
using kernels::Tensor;

/// Samples that run together; small enough for a laptop at 32x32 pixels, large enough for the matrix products.
constexpr std::int64_t most_samples = 128;

std::string join(const auto& values) {
  std::string text;
  for (const auto& v : values) text += (text.empty() ? "" : ", ") + fmt::format("{}", v);
  return text;
}

Config load_config_of(const std::string& folder, const std::vector<std::string>& overrides) {
  const Config trained = load_run_config(folder);
  if (overrides.empty()) return trained;
  const Config config = load_config(RunPaths{folder}.config(), overrides);
  Config rest = config;
  rest.eval = trained.eval;
  rest.parallel = trained.parallel;
  rest.data.path = trained.data.path;
  if (!(rest == trained)) {
    throw InputError(
        fmt::format("--set: found {}; accepted: keys of eval.* and parallel.*, and data.path (what '{}' was "
                    "trained with stays as it is)",
                    join(overrides), folder));
  }
  return config;
}

DataFacts load_facts(const std::string& folder) {
  const std::string path = RunPaths{folder}.data();
  DataFacts facts = load_data_facts(path);
  constexpr std::int64_t most_elements = std::int64_t{1} << 26;
  if (facts.shape.channels * facts.shape.height > most_elements / facts.shape.width) {
    throw InputError(fmt::format("{}: images of {}x{}x{} numbers are more than blocktrain takes", path,
                                 facts.shape.channels, facts.shape.height, facts.shape.width));
  }
  if (!std::isfinite(facts.deviation) || facts.deviation < 0) {
    throw InputError(path + ": found deviation " + std::to_string(facts.deviation) + "; accepted: 0 or more");
  }
  return facts;
}

}  // namespace

TrainedNetwork::TrainedNetwork(const std::string& folder, const std::vector<std::string>& overrides)
    : folder_(folder), config_(load_config_of(folder, overrides)), data_(load_facts(folder)) {
  // Overrides do not count here, but load_run_config's config does.
  experiment_ = experiment_identity(config_);
  // Whatever the run computed on, its network is evaluated here.
  config_.parallel.device = DeviceChoice::cpu;
  const std::vector<blocks::BlockPlace> places = block_places(config_);
  ResumePlan found = find_resume_points(folder_, experiment_, static_cast<int>(places.size()), false);
  if (!found.found) {
    throw InputError(
        fmt::format("'{}' has no checkpoint yet: let the run reach step {} (checkpoint.every_steps) or its end",
                    folder_, config_.checkpoint.every_steps));
  }
  std::string missing;
  for (const ResumePoint& p : found.blocks) {
    if (!p.file) missing += (missing.empty() ? "" : ", ") + std::to_string(p.block);
  }
  if (!missing.empty()) {
    std::string why;
    for (const std::string& w : found.warnings) why += "\n  " + w;
    throw InputError(
        fmt::format("'{}': no usable checkpoint of block {}; train it with `blocktrain train {} --resume`{}", folder_,
                    missing, RunPaths{folder_}.config(), why));
  }
  warnings_ = std::move(found.warnings);

  Arena measured = Arena::measuring("weights");
  for (const blocks::BlockPlace& place : places) {
    networks_.push_back(make_network(config_, data_.shape, place));
    measured.allocate(DType::float32, {networks_.back()->parameter_elements()});
  }
  weights_.emplace(Arena::host("weights", measured.peak()));
  for (std::size_t b = 0; b < places.size(); ++b) {
    load_block(places[b], found.blocks[b].file->name, found.blocks[b].step);
  }
  warn_about_steps();

  ops_ = kernels::make_cpu_ops(config_.parallel.threads > 0 ? config_.parallel.threads : automatic_threads(1));
  std::vector<blocks::Denoiser*> all;
  for (const auto& n : networks_) all.push_back(n.get());
  network_.emplace(noise_schedule(config_), std::move(all));
  batch_ = most_samples;
  Arena sizing = Arena::measuring("activations");
  network_->bind(sizing, DType::float32, batch_, image_shape().size());
  activations_.emplace(Arena::host("activations", sizing.peak()));
  network_->bind(*activations_, DType::float32, batch_, image_shape().size());
}

void TrainedNetwork::load_block(const blocks::BlockPlace& place, const std::string& file, std::int64_t step) {
  blocks::Denoiser& network = block(place.index);
  const Tensor flat = weights_->allocate(DType::float32, {network.parameter_elements()});
  BlockFileHeader expected;
  expected.block = place.index;
  expected.blocks = place.count;
  expected.step = step;
  expected.seed = trained_block_seed(config_, place.index);
  expected.experiment = experiment_;
  expected.training = config_.blocks.training;
  expected.first_layer = place.first_layer;
  expected.layers = place.layers;
  const std::span<float> values(flat.as<float>(), static_cast<std::size_t>(flat.size()));
  BlockTensors<float> tensors;
  (weights_are_averages() ? tensors.average : tensors.parameters) = values;
  read_block_file(checkpoints_folder(folder_) / file, expected, network.parameters(), tensors);
  network.bind_parameters(flat);
  parameters_.push_back(flat);
  steps_.push_back(step);
}

void TrainedNetwork::warn_about_steps() {
  const auto [least, most] = std::minmax_element(steps_.begin(), steps_.end());
  if (*least != *most) {
    warnings_.push_back(
        fmt::format("the blocks stand at different steps: {} (blocks 0 to {})", join(steps_), blocks() - 1));
  }
  if (*least < config_.budget.steps) {
    warnings_.push_back(
        fmt::format("the run is not finished: step {} of {} (budget.steps); continue it with `blocktrain train "
                    "{} --resume`",
                    *least, config_.budget.steps, RunPaths{folder_}.config()));
  }
}

std::int64_t TrainedNetwork::parameter_count() const {
  std::int64_t n = 0;
  for (const auto& network : networks_) {
    for (const blocks::Parameter& p : network->parameters()) n += p.size;
  }
  return n;
}

std::string TrainedNetwork::summary() const {
  const auto [least, most] = std::minmax_element(steps_.begin(), steps_.end());
  const std::string steps =
      *least == *most ? fmt::format("step {}", *least) : fmt::format("steps {} to {}", *least, *most);
  const std::string what = config_.blocks.training == TrainingMode::end_to_end
                               ? std::string("end-to-end network")
                               : fmt::format("{} block{}", blocks(), blocks() == 1 ? "" : "s");
  return fmt::format("{} at {}{}", what, steps, weights_are_averages() ? ", averaged weights" : "");
}

ImageDataset TrainedNetwork::open_data() const {
  std::optional<ImageDataset> data;
  try {
    data.emplace(trainer::open_data(config_));
  } catch (const InputError& e) {
    throw InputError(std::string(e.what()) + "\n  The run was trained on '" + data_.path +
                     "'; when that lies elsewhere now, say where with --set data.path=FOLDER");
  }
  const std::string digest = dataset_digest(*data);
  if (digest != data_.digest || !(data->shape() == image_shape()) || data->classes() != data_.shape.classes) {
    throw InputError(
        fmt::format("data.path: '{}' holds other data than '{}' was trained on ({}); found digest {}, expected {}",
                    config_.data.path, folder_, data_.path, digest.substr(0, 12), data_.digest.substr(0, 12)));
  }
  return std::move(*data);
}

void print_warnings(const TrainedNetwork& network) {
  for (const std::string& w : network.warnings()) {
    std::fprintf(stderr, "blocktrain: %s: %s\n", network.folder().c_str(), w.c_str());
  }
}

}  // namespace blocktrain::trainer
