#include "trainer/eval/trained_network.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <span>

#include "kernels/error.hpp"
#include "trainer/data/dataset_statistics.hpp"
#include "trainer/eval/denoising_losses.hpp"
#include "trainer/eval/evaluation_device.hpp"
#include "trainer/eval/image_generator.hpp"
#include "trainer/run/network.hpp"
#include "trainer/run/run_folder.hpp"

namespace blocktrain::trainer {
namespace {

using kernels::Arena;
using kernels::DType;
using kernels::Tensor;

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

TrainedNetwork::TrainedNetwork(const std::string& folder, const std::vector<std::string>& overrides,
                               std::unique_ptr<kernels::Device> device)
    : folder_(folder), config_(load_config_of(folder, overrides)), data_(load_facts(folder)) {
  // Overrides do not count here, but load_run_config's config does.
  experiment_ = experiment_identity(config_);
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

  device_ = device ? std::move(device) : make_evaluation_device(config_);
  // The networks are made for the device that was found.
  config_.parallel.device = device_->shares_host_memory() ? DeviceChoice::cpu : DeviceChoice::cuda;
  take_memory(places);
  load_blocks(places, found);
  warn_about_precision();
  warn_about_steps();
  activations_->rewind();
  bind_activations(*activations_, batch_);
}

void TrainedNetwork::take_memory(const std::vector<blocks::BlockPlace>& places) {
  Arena weights = Arena::measuring("weights");
  std::vector<blocks::Denoiser*> all;
  for (const blocks::BlockPlace& place : places) {
    networks_.push_back(make_network(config_, data_.shape, place));
    all.push_back(networks_.back().get());
    most_elements_ = std::max(most_elements_, all.back()->parameter_elements());
    weights.allocate(ops().dtype(), {all.back()->parameter_elements()});
  }
  network_.emplace(noise_schedule(config_), std::move(all));
  batch_ = evaluation_batch(config_, *device_, block(0).tokens_per_sample());
  const auto activation_bytes = [this](std::int64_t batch) {
    Arena sizing = Arena::measuring("activations");
    // Float32 weights on their way into another type take turns with the activations.
    if (ops().dtype() != DType::float32) sizing.allocate(DType::float32, {most_elements_});
    sizing.rewind();
    bind_activations(sizing, batch);
    return sizing.peak();
  };
  require_device_memory(device_->facts(), batch_, [&](std::int64_t batch) {
    const std::size_t images =
        std::max(ImageGenerator::device_bytes(image_shape(), batch), held_out_device_bytes(image_shape(), batch));
    return weights.peak() + activation_bytes(batch) + images;
  });
  weights_.emplace(device_->arena("weights", weights.peak()));
  activations_.emplace(device_->arena("activations", activation_bytes(batch_)));
}

void TrainedNetwork::bind_activations(Arena& arena, std::int64_t batch) {
  network_->bind(arena, ops().dtype(), batch, image_shape().size());
}

void TrainedNetwork::load_blocks(const std::vector<blocks::BlockPlace>& places, const ResumePlan& found) {
  std::optional<Arena> host;
  Tensor reading;
  if (!device_->shares_host_memory()) {
    const Tensor size(nullptr, DType::float32, {most_elements_});
    host.emplace(device_->staging("checkpoint", size.bytes()));
    reading = host->allocate(DType::float32, {most_elements_});
  }
  for (std::size_t b = 0; b < places.size(); ++b) load_block(places[b], found.blocks[b], reading);
}

void TrainedNetwork::load_block(const blocks::BlockPlace& place, const ResumePoint& point, const Tensor& reading) {
  blocks::Denoiser& network = block(place.index);
  const Tensor flat = weights_->allocate(ops().dtype(), {network.parameter_elements()});
  const Tensor read = reading.empty() ? flat : reading.rows(0, flat.size());
  BlockFileHeader expected;
  expected.block = place.index;
  expected.blocks = place.count;
  expected.step = point.step;
  expected.seed = trained_block_seed(config_, place.index);
  expected.experiment = experiment_;
  expected.training = config_.blocks.training;
  expected.first_layer = place.first_layer;
  expected.layers = place.layers;
  const std::span<float> values(read.as<float>(), static_cast<std::size_t>(read.size()));
  BlockTensors<float> tensors;
  (weights_are_averages() ? tensors.average : tensors.parameters) = values;
  read_block_file(checkpoints_folder(folder_) / point.file->name, expected, network.parameters(), tensors);
  if (!reading.empty()) put_on_device(flat, read);
  network.bind_parameters(flat);
  parameters_.push_back(flat);
  steps_.push_back(point.step);
}

void TrainedNetwork::put_on_device(const Tensor& weights, const Tensor& read) {
  Tensor master = weights;
  if (weights.dtype != DType::float32) {
    activations_->rewind();
    master = activations_->allocate(DType::float32, {weights.size()});
  }
  device_->upload(master.data, read.data, read.bytes());
  if (weights.dtype != DType::float32) ops().convert(weights, master);
  // The next block is read into the same memory.
  ops().synchronize();
}

void TrainedNetwork::warn_about_precision() {
  if (computed_in(config_) == ops().dtype()) return;
  warnings_.push_back(fmt::format("the run was trained in {} (model.precision), this is computed on {}",
                                  config_.model.precision == Precision::bfloat16 ? "bfloat16" : "float32",
                                  computed_on()));
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

std::string TrainedNetwork::computed_on() const {
  const kernels::DeviceFacts& facts = device_->facts();
  return fmt::format("{} in {}", facts.kind == "cuda" ? facts.name : "the CPU",
                     device_->ops().dtype() == DType::bfloat16 ? "bfloat16" : "float32");
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
