#pragma once
/// Windows of text from a network that finds masked tokens: a window starts as its prompt and masks, and in every step
/// some of the masks become tokens (unmasking.hpp), by the block that owns their number.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kernels/arena.hpp"
#include "trainer/eval/report_progress.hpp"
#include "trainer/eval/trained_network.hpp"
#include "trainer/tasks/tokens/unmasking.hpp"

namespace blocktrain::trainer {

/// Tokens that a window begins with; fewer than it has.
using TokenPrompt = std::vector<std::int32_t>;

struct GeneratedWindows {
  std::vector<std::int32_t> tokens;  ///< [windows, n]
  double flops_per_window = 0;       ///< counted: matrix products and attention of every evaluation
  double seconds_per_window = 0;     ///< of rank 0's clock, however many ranks made them
};

class MaskedGenerator {
 public:
  /// Throws RunError where memory cannot be had.
  explicit MaskedGenerator(TrainedNetwork& network);

  /// Makes `count` windows; window i begins with prompts[i % prompts.size()] and depends on that, the network, `steps`,
  /// `settings` and i alone, not on how many others are made; on a GPU up to rounding. More steps than there are masks
  /// are as many as there are masks. The network's ranks share the work; rank 0 gets the windows, the others nothing.
  /// Throws as EvaluationRanks::run().
  GeneratedWindows generate(std::span<const TokenPrompt> prompts, std::int64_t count, int steps,
                            const UnmaskingSettings& settings, const ReportProgress& report = {});

  /// What it takes of the device besides the network.
  static std::size_t device_bytes(const blocks::Block& block, const blocks::SampleLayout& layout, std::int64_t batch);

 private:
  /// Windows at a time, of a network that may take `batch` samples: logits of a window are as many as its tokens times
  /// the vocabulary.
  static std::int64_t windows_at_once(const blocks::SampleLayout& layout, std::int64_t batch);
  struct Work {
    kernels::Tensor tokens, logits;
    void bind(kernels::Arena& arena, const blocks::Block& block, std::int64_t windows);
  };

  /// Fills `windows`, whose indices are begin, begin + stride, ..; returns the operations that it took.
  double make(std::span<std::int32_t> windows, const TokenPrompt& prompt, std::int64_t begin, std::int64_t stride,
              int steps, const UnmaskingSettings& settings);

  TrainedNetwork& network_;
  std::int64_t tokens_ = 0, vocabulary_ = 0;
  Work work_;
  std::optional<kernels::Arena> arena_;
  std::vector<float> logits_;  ///< on the host, where the device has memory of its own
};

}  // namespace blocktrain::trainer
