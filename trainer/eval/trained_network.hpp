#pragma once
/// The network of a RUN folder, whole: every block with the weights of its newest checkpoint, in memory, ready to
/// denoise. Weights are the average where the experiment keeps one (optimizer.average_decay), as for `generate`, `eval`
/// and `export` alike. They lie on the device that computes, in the type that it computes in.
///
/// Where several ranks share an evaluation, each has the whole network. Rank 0 chooses the files; block b's is read by
/// rank b % W alone, and its weights go on to the others from device to device.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "blocks/assembled.hpp"
#include "blocks/block.hpp"
#include "comm/device_transport.hpp"
#include "kernels/arena.hpp"
#include "kernels/device.hpp"
#include "kernels/ops.hpp"
#include "trainer/config/config.hpp"
#include "trainer/data/data_facts.hpp"
#include "trainer/eval/evaluation_ranks.hpp"
#include "trainer/support/threads.hpp"
#include "trainer/tasks/task.hpp"

namespace blocktrain::trainer {

/// parallel.timeout_seconds of the run in `folder`, as rank 0 reads it. Throws InputError, on all ranks, as
/// TrainedNetwork does. All ranks call together.
std::chrono::milliseconds evaluation_timeout(comm::Communicator& world, const std::string& folder,
                                             const std::vector<std::string>& overrides);

/// How many of a run's blocks, from the first, which has the highest noise; 0: all.
struct FirstBlocks {
  int count = 0;
};

class TrainedNetwork {
 public:
  /// Loads the run in `folder`, whose task `choose_task` knows, for one process alone. `overrides` may change eval.*,
  /// parallel.* and data.path, which say nothing about the weights. It computes on `device`, or, when that is null,
  /// where parallel.device says (make_evaluation_device). Throws InputError when `folder` is no run, an override is of
  /// another key, a file is damaged, a block has no checkpoint that is whole, or the device cannot be had or has too
  /// little memory.
  TrainedNetwork(ChooseTask choose_task, const std::string& folder, const std::vector<std::string>& overrides,
                 std::unique_ptr<kernels::Device> device = nullptr);
  /// The same on all of `ranks`, which outlive this and call together; `folder`'s config and the choice of checkpoints
  /// are rank 0's. Errors are thrown as by all_or_none(). With `first` that many blocks alone are loaded, and only they
  /// need a checkpoint; InputError where the run has fewer, or its task needs them all.
  TrainedNetwork(ChooseTask choose_task, EvaluationRanks& ranks, const std::string& folder,
                 const std::vector<std::string>& overrides, std::unique_ptr<kernels::Device> device = nullptr,
                 FirstBlocks first = {});

  /// Who shares what is done with the network.
  EvaluationRanks& ranks() { return *ranks_; }
  const std::string& folder() const { return folder_; }
  const Config& config() const { return config_; }
  const DataFacts& data() const { return data_; }
  /// What it was trained for.
  const Task& task() const { return *task_; }
  /// The identity that the run got when it was started.
  const std::string& experiment() const { return experiment_; }

  /// Blocks that were loaded.
  int blocks() const { return static_cast<int>(networks_.size()); }
  /// Whether these are all that the run has.
  bool is_whole() const { return blocks() == network_->schedule().count(); }
  const blocks::Block& block(int b) const { return *networks_[static_cast<std::size_t>(b)]; }
  blocks::Block& block(int b) { return *networks_[static_cast<std::size_t>(b)]; }
  /// The flat parameters of a block, block(b).parameter_elements() of them, on the device and in its type: on a CPU
  /// float32 in host memory.
  const kernels::Tensor& parameters(int b) const { return parameters_[static_cast<std::size_t>(b)]; }
  /// Training steps behind the weights, by block.
  const std::vector<std::int64_t>& steps() const { return steps_; }
  std::int64_t parameter_count() const;
  bool weights_are_averages() const { return config_.optimizer.average_decay > 0; }

  /// "4 blocks at step 1500, averaged weights".
  std::string summary() const;
  /// Sentences for the user: damaged checkpoints, blocks at different steps, an unfinished run, another precision than
  /// that of the training.
  const std::vector<std::string>& warnings() const { return warnings_; }

  blocks::AssembledNetwork& network() { return *network_; }
  kernels::Device& device() { return *device_; }
  /// "the CPU in float32", "NVIDIA H200 in bfloat16".
  std::string computed_on() const;
  /// How many threads of the CPU, and why: "2 threads (2 CPUs for this rank)". Empty on a GPU.
  std::string threads_text() const;
  /// Both, and how many ranks where there are several: "the CPU in float32, 2 threads (parallel.threads), 3 ranks".
  std::string computed_by() const;
  /// Of the device: the tensors that they and network() take lie there.
  kernels::Ops& ops() { return device_->ops(); }
  /// Samples that one call of network() may take.
  std::int64_t batch() const { return batch_; }

  /// The data set of the run. Throws InputError when it cannot be read or is not the one the run was trained on.
  std::unique_ptr<Samples> open_data() const;

 private:
  TrainedNetwork(ChooseTask choose_task, std::unique_ptr<EvaluationRanks> alone, const std::string& folder,
                 const std::vector<std::string>& overrides, std::unique_ptr<kernels::Device> device);
  /// Config and facts of the data, read by rank 0.
  void load_run(ChooseTask choose_task, const std::vector<std::string>& overrides);
  /// Where the first blocks stand, or all.
  std::vector<blocks::BlockPlace> choose_places(FirstBlocks first);
  /// The checkpoint files of the first `loaded` of `blocks`, found by rank 0; steps_ too.
  std::vector<std::string> choose_checkpoints(int blocks, int loaded);
  /// Makes the networks and sees whether there is memory enough for them and for batches, on a device that `sharing`
  /// ranks compute on, or a host with `ranks_beside` of them.
  void price_memory(const std::vector<blocks::BlockPlace>& places, int sharing, int ranks_beside);
  void take_memory();
  std::size_t activation_bytes(std::int64_t batch);
  /// Binds the network's activations for `batch` samples in `arena`; on a measuring one this prices them.
  void bind_activations(kernels::Arena& arena, std::int64_t batch);
  /// The rank that reads a block.
  int reader_of(int block) const { return block % ranks_->size(); }
  /// Reads this rank's blocks.
  void load_blocks(const std::vector<blocks::BlockPlace>& places, const std::vector<std::string>& files);
  /// Through `reading`, host memory for the largest block, which is empty where the device shares the host's.
  void load_block(const blocks::BlockPlace& place, const std::string& file, const kernels::Tensor& reading);
  void put_on_device(const kernels::Tensor& weights, const kernels::Tensor& read);
  /// Every block from its reader to all ranks.
  void share_blocks(const std::vector<comm::RankDevice>& devices);
  void warn_about_precision();
  void warn_about_steps();

  std::unique_ptr<EvaluationRanks> alone_;
  EvaluationRanks* ranks_;
  std::string folder_;
  Config config_;
  const Task* task_ = nullptr;
  DataFacts data_;
  std::string experiment_;
  std::int64_t batch_ = 0;
  std::vector<std::int64_t> steps_;
  std::vector<std::string> warnings_;
  std::unique_ptr<kernels::Device> device_;  // before what lies on it
  ThreadChoice threads_;                     ///< of this rank, where it computes on the CPU
  std::vector<std::unique_ptr<blocks::Block>> networks_;
  std::int64_t most_elements_ = 0;  // of a block
  std::size_t weight_bytes_ = 0;    // of all
  std::vector<kernels::Tensor> parameters_;
  std::optional<kernels::Arena> weights_, activations_;
  std::optional<blocks::AssembledNetwork> network_;
};

/// Prints the network's warnings on standard error.
void print_warnings(const TrainedNetwork& network);

}  // namespace blocktrain::trainer
