#pragma once
/// The samples of a data set, whatever they are made of: what batches and held-out losses are filled from. A task
/// (trainer/tasks/) implements it.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "blocks/batch.hpp"
#include "trainer/data/data_facts.hpp"
#include "trainer/data/sample_order.hpp"

namespace blocktrain::trainer {

enum class Split : std::uint8_t { train, heldout };
/// "training", "held-out".
std::string_view to_string(Split split);

/// Most samples that a data set may hold: sample numbers are 32-bit words of the random numbers' counter.
inline constexpr std::int64_t most_samples = 0x7fffffff;

/// What training samples follow from besides their index: numbers of `seed`, and how often all of them were visited
/// before.
struct TrainingKey {
  TrainingKey(std::uint64_t of_seed, std::span<const std::uint64_t> of_rows = {}) : seed(of_seed), passes(of_rows) {}

  std::uint64_t seed;
  std::span<const std::uint64_t> passes;  ///< SampleOrder::Visit::pass of each row; empty: 0 for all
};

/// Sample i of `count` that are spread over all of a split.
constexpr std::int64_t spread_sample(std::int64_t i, std::int64_t count, std::int64_t all) { return i * all / count; }

class Samples {
 public:
  virtual ~Samples() = default;

  /// What a run on them keeps. Looks at much of the data: milliseconds. Throws RunError as fill().
  virtual DataFacts facts() const = 0;
  virtual blocks::SampleLayout layout() const = 0;
  /// Training samples of each class, for which all of them are looked at; empty where samples have no class.
  virtual std::vector<std::int64_t> class_counts() const { return {}; }
  virtual std::int64_t count(Split split) const = 0;

  /// Row r of `batch`, which lies in host memory, = sample indices[r] of `split`; `indices` has as many entries as the
  /// batch has rows, each in [0, count(split)). With `training` each sample is changed as the config asks for training
  /// samples: by numbers of that seed, of the pass, of batch.step and of the sample's index in the global batch;
  /// without, it is as it is. Allocates nothing; any thread may call. Throws RunError when a file of the data was
  /// changed meanwhile.
  virtual void fill(const blocks::Batch& batch, Split split, std::span<const std::int64_t> indices,
                    const std::optional<TrainingKey>& training) const = 0;

  /// Different targets of the training split among those of the first `visits` samples of `order`, where other passes
  /// have others; nothing where they do not, so that different samples have different targets.
  virtual std::optional<std::int64_t> distinct_targets(const SampleOrder& order, std::int64_t visits) const;

  /// Sentences about files that were found merely touched (a new time of modification), once for each time.
  virtual std::vector<std::string> touched() const { return {}; }
  /// Sentences for people about what was skipped when the data were opened.
  virtual std::vector<std::string> notes() const { return {}; }
};

}  // namespace blocktrain::trainer
