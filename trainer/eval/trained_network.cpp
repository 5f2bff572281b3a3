#include "trainer/eval/trained_network.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <utility>

#include "comm/block_exchange.hpp"
#include "comm/host.hpp"
#include "comm/staged/staged_communicator.hpp"
#include "kernels/error.hpp"
#include "trainer/checkpoint/resume.hpp"
#include "trainer/config/describe.hpp"
#include "trainer/config/values.hpp"
#include "trainer/eval/evaluation_device.hpp"
#include "trainer/exchange/rank_devices.hpp"
#include "trainer/plan/coupling.hpp"
#include "trainer/plan/network.hpp"
#include "trainer/run_folder/run_folder.hpp"
#include "trainer/run_folder/run_remains.hpp"
#include "trainer/support/exit_status.hpp"
#include "trainer/support/output.hpp"
#include "trainer/support/share.hpp"
#include "trainer/support/text.hpp"

namespace blocktrain::trainer {
namespace {

using kernels::Arena;
using kernels::DType;
using kernels::Tensor;

/// Whether two configs, of one architecture, differ by nothing that says how the network was trained.
bool trained_alike(Config a, Config b) {
  const std::vector<Setting> left = describe(a), right = describe(b);
  return std::ranges::equal(left, right, [](const Setting& l, const Setting& r) {
    const std::string name = l.name();
    if (name != r.name()) return false;
    const bool may_differ = l.section == "eval" || l.section == "parallel" || (l.section == "data" && !l.trains);
    return may_differ || to_yaml_value(l.value) == to_yaml_value(r.value);
  });
}

Config load_config_of(const std::string& folder, const std::vector<std::string>& overrides) {
  const Config trained = load_run_config(folder);
  if (overrides.empty()) return trained;
  const Config config = load_run_config(folder, overrides);
  if (!trained_alike(config, trained)) {
    throw InputError(
        fmt::format("--set: found {}; accepted: keys of eval.* and parallel.*, and those of data.* that say where and "
                    "how the same data lie, such as data.path (what '{}' was trained with stays as it is)",
                    join(overrides), folder));
  }
  return config;
}

DataFacts load_facts(const Task& task, const std::string& folder, const Config& config,
                     std::vector<std::string>& warnings) {
  const std::string path = RunPaths{folder}.data();
  DataFacts facts = facts_of_run(
      RunPaths{folder}, [&] { return task.open(config)->facts(); }, warnings);
  constexpr std::int64_t most_elements = std::int64_t{1} << 26;
  for (const blocks::Field& field : facts.layout.fields) {
    if (field.size() <= most_elements) continue;
    throw InputError(fmt::format("{}: samples of {} numbers are more than blocktrain takes", path, field.size()));
  }
  if (!std::isfinite(facts.deviation) || facts.deviation < 0) {
    throw InputError(path + ": found deviation " + std::to_string(facts.deviation) + "; accepted: 0 or more");
  }
  return facts;
}

}  // namespace

std::chrono::milliseconds evaluation_timeout(comm::Communicator& world, const std::string& folder,
                                             const std::vector<std::string>& overrides) {
  std::vector<std::int64_t> milliseconds;
  all_or_none(world, [&] {
    if (world.rank() == 0) milliseconds.push_back(load_config_of(folder, overrides).parallel.timeout().count());
  });
  share(world, milliseconds);
  return std::chrono::milliseconds(milliseconds.front());
}

TrainedNetwork::TrainedNetwork(ChooseTask choose_task, const std::string& folder,
                               const std::vector<std::string>& overrides, std::unique_ptr<kernels::Device> device)
    : TrainedNetwork(choose_task, std::make_unique<EvaluationRanks>(), folder, overrides, std::move(device)) {}

TrainedNetwork::TrainedNetwork(ChooseTask choose_task, std::unique_ptr<EvaluationRanks> alone,
                               const std::string& folder, const std::vector<std::string>& overrides,
                               std::unique_ptr<kernels::Device> device)
    : TrainedNetwork(choose_task, *alone, folder, overrides, std::move(device)) {
  alone_ = std::move(alone);
}

TrainedNetwork::TrainedNetwork(ChooseTask choose_task, EvaluationRanks& ranks, const std::string& folder,
                               const std::vector<std::string>& overrides, std::unique_ptr<kernels::Device> device,
                               FirstBlocks first)
    : ranks_(&ranks), folder_(folder) {
  load_run(choose_task, overrides);
  const std::vector<blocks::BlockPlace> places = choose_places(first);
  const std::vector<std::string> files = choose_checkpoints(trained_blocks(config_), static_cast<int>(places.size()));

  device_ = device ? std::move(device) : make_evaluation_device(ranks, config_, threads_);
  // The networks are made for the device that was found.
  config_.parallel.device = device_->shares_host_memory() ? DeviceChoice::cpu : DeviceChoice::cuda;
  std::vector<comm::RankDevice> devices;
  int sharing = 1;
  if (ranks.size() > 1) {
    devices = gather_rank_devices(ranks.world(), device_->facts());
    sharing = static_cast<int>(std::count_if(devices.begin(), devices.end(), [this](const comm::RankDevice& d) {
      return d.gpu_uuid == device_->facts().uuid;
    }));
  }
  const int ranks_beside = ranks.size() > 1 ? comm::map_hosts(ranks.world()).ranks_beside(ranks.rank()) : 1;
  // Memory is looked at on all ranks before any takes it.
  ranks.together([&] { price_memory(places, sharing, ranks_beside); });
  ranks.together([&] {
    take_memory();
    load_blocks(places, files);
  });
  if (ranks.size() > 1) ranks.together([&] { share_blocks(devices); });
  warn_about_precision();
  warn_about_steps();
  activations_->rewind();
  bind_activations(*activations_, batch_);
}

void TrainedNetwork::load_run(ChooseTask choose_task, const std::vector<std::string>& overrides) {
  std::string yaml, facts;
  ranks_->together([&] {
    if (!ranks_->leads()) return;
    config_ = load_config_of(folder_, overrides);
    task_ = &choose_task(config_);
    data_ = load_facts(*task_, folder_, config_, warnings_);
    yaml = to_yaml(config_);
    facts = to_json(data_);
  });
  if (ranks_->size() == 1) return;
  share(ranks_->world(), yaml);
  share(ranks_->world(), facts);
  if (ranks_->leads()) return;
  config_ = load_config_text(yaml, "config of rank 0", {});
  task_ = &choose_task(config_);
  data_ = parse_data_facts(facts, "data of rank 0");
}

std::vector<blocks::BlockPlace> TrainedNetwork::choose_places(FirstBlocks first) {
  std::vector<blocks::BlockPlace> places = block_places(config_);
  ranks_->together([&] {
    if (!ranks_->leads() || first.count == 0) return;
    if (!task_->evaluates_first_blocks()) {
      throw InputError(fmt::format(
          "--blocks: '{}' was trained for the task '{}', where a block leaves what the next one goes on with, and only "
          "the last an answer; accepted: to leave the option out",
          folder_, task_->name()));
    }
    if (first.count > static_cast<int>(places.size())) {
      throw InputError(fmt::format("--blocks: found {} blocks, but '{}' has {}", first.count, folder_, places.size()));
    }
  });
  if (first.count > 0) places.resize(static_cast<std::size_t>(first.count));
  return places;
}

std::vector<std::string> TrainedNetwork::choose_checkpoints(int blocks, int loaded) {
  std::vector<std::string> files;
  ranks_->together([&] {
    if (!ranks_->leads()) return;
    // Overrides change nothing that counts here.
    const Experiment experiment = experiment_of(config_);
    ResumePlan found =
        find_resume_points(folder_, experiment, blocks, coupling_of(config_).coupled(), experiment, loaded);
    if (!found.found) {
      throw InputError(
          fmt::format("'{}' has no checkpoint: let the run reach step {} (checkpoint.every_steps) or its end; when it "
                      "is not running, go on with `blocktrain train {} --resume`",
                      folder_, config_.checkpoint.every_steps, RunPaths{folder_}.config()));
    }
    experiment_ = found.experiment;
    std::vector<int> missing;
    for (const ResumePoint& p : found.blocks) {
      if (!p.file) missing.push_back(p.block);
      steps_.push_back(p.step);
      files.push_back(p.file ? p.file->name : std::string());
    }
    if (!missing.empty()) {
      std::string why;
      for (const std::string& w : found.warnings) why += "\n  " + w;
      throw InputError(
          fmt::format("'{}': no usable checkpoint of block {}; train it with `blocktrain train {} --resume`{}", folder_,
                      join(missing), RunPaths{folder_}.config(), why));
    }
    warnings_.insert(warnings_.end(), found.warnings.begin(), found.warnings.end());
    config_.noise.information = found.information;
    if (needs_information(config_) && config_.noise.information.empty()) {
      throw InputError(
          fmt::format("'{}': its manifest does not say how the noise was cut into blocks (\"information\"), "
                      "which noise.partition equal_information needs",
                      folder_));
    }
  });
  if (ranks_->size() > 1) {
    // A training may be going on, and another rank find newer files.
    share(ranks_->world(), files);
    share(ranks_->world(), steps_);
    share(ranks_->world(), experiment_);
    share(ranks_->world(), config_.noise.information);
  }
  return files;
}

std::size_t TrainedNetwork::activation_bytes(std::int64_t batch) {
  Arena sizing = Arena::measuring("activations");
  // Float32 weights on their way into another type take turns with the activations.
  if (ops().dtype() != DType::float32) sizing.allocate(DType::float32, {most_elements_});
  sizing.rewind();
  bind_activations(sizing, batch);
  return sizing.peak();
}

void TrainedNetwork::price_memory(const std::vector<blocks::BlockPlace>& places, int sharing, int ranks_beside) {
  Arena weights = Arena::measuring("weights");
  // What losses are compared by, whatever weight the run trained with.
  Config measured = config_;
  const std::vector<Setting> settings = describe(measured);
  if (const Setting* weighting = find_setting(settings, "objective.weighting")) set_from_text(*weighting, "edm");
  std::vector<blocks::Block*> all;
  for (const blocks::BlockPlace& place : places) {
    networks_.push_back(make_block(measured, data_.layout, place));
    all.push_back(networks_.back().get());
    most_elements_ = std::max(most_elements_, all.back()->parameter_elements());
    weights.allocate(ops().dtype(), {all.back()->parameter_elements()});
  }
  weight_bytes_ = weights.peak();
  network_.emplace(noise_schedule(config_), std::move(all));
  batch_ = evaluation_batch(config_, *device_, block(0).rows_per_sample());
  const auto planned = [&](std::int64_t batch) {
    return weight_bytes_ + activation_bytes(batch) + task_->device_bytes(block(0), data_.layout, batch);
  };
  require_device_memory(*device_, sharing, batch_, planned);
  if (device_->shares_host_memory()) {
    // The ops' scratch has been taken with the device.
    require_host_memory(memory_bounds(0, 1), ranks_beside, batch_, planned);
  }
}

void TrainedNetwork::take_memory() {
  weights_.emplace(device_->arena("weights", weight_bytes_));
  activations_.emplace(device_->arena("activations", activation_bytes(batch_)));
}

void TrainedNetwork::bind_activations(Arena& arena, std::int64_t batch) { network_->bind(arena, ops().dtype(), batch); }

void TrainedNetwork::load_blocks(const std::vector<blocks::BlockPlace>& places, const std::vector<std::string>& files) {
  for (const auto& network : networks_) {
    parameters_.push_back(weights_->allocate(ops().dtype(), {network->parameter_elements()}));
    network->bind_parameters(parameters_.back());
  }
  std::optional<Arena> host;
  Tensor reading;
  if (!device_->shares_host_memory()) {
    const Tensor size(nullptr, DType::float32, {most_elements_});
    host.emplace(device_->staging("checkpoint", size.bytes()));
    reading = host->allocate(DType::float32, {most_elements_});
  }
  for (std::size_t b = 0; b < places.size(); ++b) {
    if (reader_of(places[b].index) == ranks_->rank()) load_block(places[b], files[b], reading);
  }
}

void TrainedNetwork::load_block(const blocks::BlockPlace& place, const std::string& file, const Tensor& reading) {
  const auto index = static_cast<std::size_t>(place.index);
  const Tensor& flat = parameters_[index];
  const Tensor read = reading.empty() ? flat : reading.rows(0, flat.size());
  BlockFileHeader expected;
  expected.block = place.index;
  expected.blocks = place.count;
  expected.step = steps_[index];
  expected.seed = trained_block_seed(config_, place.index);
  expected.experiment = experiment_;
  expected.training = config_.blocks.training;
  expected.first_layer = place.first_layer;
  expected.layers = place.layers;
  const std::span<float> values(read.as<float>(), static_cast<std::size_t>(read.size()));
  BlockTensors<float> tensors;
  (weights_are_averages() ? tensors.average : tensors.parameters) = values;
  read_block_file(checkpoints_folder(folder_) / file, expected, block(place.index).parameters(), tensors);
  if (!reading.empty()) put_on_device(flat, read);
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

void TrainedNetwork::share_blocks(const std::vector<comm::RankDevice>& devices) {
  std::vector<comm::BlockWeights> weights;
  std::size_t most_bytes = 0;
  for (int b = 0; b < blocks(); ++b) {
    weights.push_back({reader_of(b), parameters(b).data, parameters(b).bytes()});
    most_bytes = std::max(most_bytes, parameters(b).bytes());
  }
  std::vector<int> everybody(static_cast<std::size_t>(ranks_->size()));
  std::iota(everybody.begin(), everybody.end(), 0);
  const std::size_t buffer_bytes = comm::staging_buffer_bytes(most_bytes, ranks_->size());
  Arena staging = device_->staging("weights on their way", buffer_bytes);
  const Tensor buffer = staging.allocate_bytes(buffer_bytes);
  const auto connection = connect_devices(
      {ranks_->world(), everybody, devices, config_.parallel.gpu_transport, ranks_->timeout(), /*lasting=*/false},
      std::span(static_cast<std::byte*>(buffer.data), buffer.bytes()));
  comm::share_weights(*connection, weights, device_->stream());
  connection->finish();
}

void TrainedNetwork::warn_about_precision() {
  if (computed_in(config_) == ops().dtype()) return;
  warnings_.push_back(fmt::format("the run was trained in {} (model.precision), this is computed on {}",
                                  name_of(config_.model.precision), computed_on()));
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
  return fmt::format("{} in {}", facts.kind == "cuda" ? facts.name : "the CPU", name_of(device_->ops().dtype()));
}

std::string TrainedNetwork::threads_text() const {
  if (!device_->shares_host_memory() || threads_.reason.empty()) return {};
  return fmt::format("{} {} ({})", threads_.threads, threads_.threads == 1 ? "thread" : "threads", threads_.reason);
}

std::string TrainedNetwork::computed_by() const {
  std::string text = computed_on();
  if (const std::string threads = threads_text(); !threads.empty()) text += ", " + threads;
  if (ranks_->size() > 1) text += fmt::format(", {} ranks", ranks_->size());
  return text;
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
  std::string what = fmt::format("{} block{}", blocks(), blocks() == 1 ? "" : "s");
  if (config_.blocks.training == TrainingMode::end_to_end) {
    what = "end-to-end network";
  } else if (!is_whole()) {
    what = blocks() == 1 ? std::string("the first block") : "the first " + what;
  }
  return fmt::format("{} at {}{}", what, steps, weights_are_averages() ? ", averaged weights" : "");
}

std::unique_ptr<Samples> TrainedNetwork::open_data() const {
  std::unique_ptr<Samples> data;
  try {
    data = task_->open(config_);
  } catch (const InputError& e) {
    throw InputError(std::string(e.what()) + "\n  The run was trained on '" + data_.path +
                     "'; when that lies elsewhere now, say where with --set data.path=FOLDER");
  }
  const DataFacts found = data->facts();
  if (found.digest != data_.digest || !(found.layout == data_.layout)) {
    throw InputError(
        fmt::format("data.path: '{}' holds other data than '{}' was trained on ({}); found digest {}, expected {}",
                    config_.data.path, folder_, data_.path, found.digest.substr(0, 12), data_.digest.substr(0, 12)));
  }
  return data;
}

void print_warnings(const TrainedNetwork& network) {
  for (const std::string& w : network.warnings()) {
    complain(network.folder() + ": " + w);
  }
}

}  // namespace blocktrain::trainer
