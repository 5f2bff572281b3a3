#pragma once
/// What a network is trained for: which data it reads, how good it is, what it makes. All that knows what a sample is
/// (an image, a label, a text) stands behind this interface, in a folder of trainer/tasks/; the list of tasks is in
/// tasks.cpp. The interface stands below all that trains and evaluates, the implementations above.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "blocks/block.hpp"
#include "trainer/config/config.hpp"
#include "trainer/data/data_facts.hpp"
#include "trainer/data/samples.hpp"

namespace blocktrain::trainer {

class EvalProgress;
class TrainedNetwork;
struct EvalReport;
struct GenerateArguments;

/// What `plan` tells of the data without reading them.
struct DataOutline {
  blocks::SampleLayout layout;
  std::string text;                ///< "on 60 images of 1x8x8, 10 classes (20 held out)", lines for people
  std::string json;                ///< the same as an object, for plan --json
  std::vector<std::string> notes;  ///< sentences about what was skipped
};

/// What `blocktrain data` tells of data.
struct DataReport {
  std::string text;                ///< lines for people
  std::string json;                ///< the same as an object
  std::vector<std::string> notes;  ///< sentences about what was skipped
};

class Task {
 public:
  virtual ~Task() = default;

  virtual std::string_view name() const = 0;

  /// What has to happen before the program has a second thread: settings by the environment.
  virtual void prepare() const {}

  /// Sizes of the data of a config, by their files' names and headers, or as the config declares them where there are
  /// no data. Throws InputError.
  virtual DataOutline outline(const Config& config) const = 0;
  /// Opens the data of a config. Throws InputError when they cannot be read or are not what the config declares.
  virtual std::unique_ptr<Samples> open(const Config& config) const = 0;
  /// "60 images of 1x8x8, 10 classes, 20 held out".
  virtual std::string description(const DataFacts& facts) const = 0;

  /// Whether what lies at `path` is of a kind that this task reads, by names and sizes.
  virtual bool recognizes(const std::string&) const { return false; }
  /// What is in the data at `path`, read as the task's own keys say. Throws InputError when they cannot be read; a task
  /// that does not override it has nothing to say.
  virtual DataReport inspect(const std::string& path, const blocks::Options& options) const;

  /// Bytes that evaluate() and generate() take of a device besides the network, for `batch` samples at a time; `block`
  /// is one of the network's.
  virtual std::size_t device_bytes(const blocks::Block& block, const blocks::SampleLayout& layout,
                                   std::int64_t batch) const = 0;
  /// Whether what the first blocks of a network say is an answer, so that evaluate() can do with these alone.
  virtual bool evaluates_first_blocks() const { return false; }
  /// Measures `run` and, where it is not null, `twin` beside it, as run's eval.* says. All ranks of the networks, the
  /// same ones, call together; rank 0 gets the report, what the others get lacks the results. Throws InputError where
  /// the data are not those of the run or too few, RunError as EvaluationRanks::run().
  virtual EvalReport evaluate(TrainedNetwork& run, TrainedNetwork* twin, EvalProgress& progress) const = 0;

  /// Whether it has a generate() of its own.
  virtual bool generates() const { return false; }
  /// Makes what is asked for, writes it and says so. All ranks of the network call together. Throws InputError where
  /// the arguments do not fit the run; a task that makes nothing refuses them all, as this does.
  virtual void generate(TrainedNetwork& network, const GenerateArguments& arguments) const;
};

/// Throws InputError where the task has nothing to generate.
void require_generation(const Task& task);

/// The task of a config.
using ChooseTask = const Task& (*)(const Config& config);

}  // namespace blocktrain::trainer
