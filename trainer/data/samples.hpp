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

namespace blocktrain::trainer {

enum class Split : std::uint8_t { train, heldout };
/// "training", "held-out".
std::string_view to_string(Split split);

/// Most samples that a data set may hold: sample numbers are 32-bit words of the random numbers' counter.
inline constexpr std::int64_t most_samples = 0x7fffffff;

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
  /// batch has rows, each in [0, count(split)). With `augmented` each sample is changed as the config asks for training
  /// samples, by numbers of that seed, of batch.step and of the sample's index in the global batch; without, it is
  /// as it is. Allocates nothing; any thread may call. Throws RunError when a file of the data was changed meanwhile.
  virtual void fill(const blocks::Batch& batch, Split split, std::span<const std::int64_t> indices,
                    std::optional<std::uint64_t> augmented) const = 0;

  /// Sentences about files that were found merely touched (a new time of modification), once for each time.
  virtual std::vector<std::string> touched() const { return {}; }
  /// Sentences for people about what was skipped when the data were opened.
  virtual std::vector<std::string> notes() const { return {}; }
};

}  // namespace blocktrain::trainer
