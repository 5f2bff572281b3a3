#pragma once
/// The network of a RUN folder, whole: every block with the weights of its newest checkpoint, in memory, ready to
/// denoise. Weights are the average where the experiment keeps one (optimizer.average_decay), as for `generate`, `eval`
/// and `export` alike.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "blocks/assembled.hpp"
#include "blocks/denoiser.hpp"
#include "kernels/arena.hpp"
#include "kernels/ops.hpp"
#include "trainer/config/config.hpp"
#include "trainer/data/image_dataset.hpp"
#include "trainer/run/data_facts.hpp"

namespace blocktrain::trainer {

class TrainedNetwork {
 public:
  /// Loads the run in `folder`. `overrides` may change eval.*, parallel.* and data.path, which say nothing about the
  /// weights. Throws InputError when `folder` is no run, an override is of another key, a file is damaged, or a block
  /// has no checkpoint that is whole.
  TrainedNetwork(const std::string& folder, const std::vector<std::string>& overrides);

  const std::string& folder() const { return folder_; }
  const Config& config() const { return config_; }
  const DataFacts& data() const { return data_; }
  ImageShape image_shape() const { return {data_.shape.channels, data_.shape.height, data_.shape.width}; }
  const std::string& experiment() const { return experiment_; }

  int blocks() const { return static_cast<int>(networks_.size()); }
  const blocks::Denoiser& block(int b) const { return *networks_[static_cast<std::size_t>(b)]; }
  blocks::Denoiser& block(int b) { return *networks_[static_cast<std::size_t>(b)]; }
  /// The flat parameters of a block, of block(b).parameter_elements() floats.
  const kernels::Tensor& parameters(int b) const { return parameters_[static_cast<std::size_t>(b)]; }
  /// Training steps behind the weights, by block.
  const std::vector<std::int64_t>& steps() const { return steps_; }
  std::int64_t parameter_count() const;
  bool weights_are_averages() const { return config_.optimizer.average_decay > 0; }

  /// "4 blocks at step 1500, averaged weights".
  std::string summary() const;
  /// Sentences for the user: damaged checkpoints, blocks at different steps, an unfinished run.
  const std::vector<std::string>& warnings() const { return warnings_; }

  blocks::AssembledNetwork& network() { return *network_; }
  kernels::Ops& ops() { return *ops_; }
  /// Samples that one call of network() may take.
  std::int64_t batch() const { return batch_; }

  /// The data set of the run. Throws InputError when it cannot be read or is not the one the run was trained on.
  ImageDataset open_data() const;

 private:
  void load_block(const blocks::BlockPlace& place, const std::string& file, std::int64_t step);
  void warn_about_steps();

  std::string folder_;
  Config config_;
  DataFacts data_;
  std::string experiment_;
  std::int64_t batch_ = 0;
  std::vector<std::int64_t> steps_;
  std::vector<std::string> warnings_;
  std::vector<std::unique_ptr<blocks::Denoiser>> networks_;
  std::vector<kernels::Tensor> parameters_;
  std::optional<kernels::Arena> weights_, activations_;
  std::unique_ptr<kernels::Ops> ops_;
  std::optional<blocks::AssembledNetwork> network_;
};

/// Prints the network's warnings on standard error.
void print_warnings(const TrainedNetwork& network);

}  // namespace blocktrain::trainer
