#pragma once
/// What `blocktrain eval` measures of a run on text, and of a second run beside it.

#include <cstdint>
#include <optional>
#include <vector>

#include "trainer/eval/eval_head.hpp"
#include "trainer/eval/eval_progress.hpp"
#include "trainer/eval/trained_network.hpp"
#include "trainer/tasks/tokens/masked_bound.hpp"

namespace blocktrain::trainer {

/// How much text the tokens of the measured windows stand for.
struct TextSize {
  std::int64_t tokens = 0, bytes = 0, characters = 0;  ///< characters: Unicode code points
};

struct TokenNetworkResult : EvaluatedNetwork {
  MaskedBound bound;
};

struct TokenEvalResult : EvalHead {
  std::uint64_t seed = 0;
  std::int64_t context = 0, vocabulary = 0;
  std::optional<TextSize> text;  ///< none where the tokens' tokenizer is not known
  TokenNetworkResult run;
  std::vector<TokenNetworkResult> twin;  ///< none or one

  /// Of a network's bound and its standard error; nothing where the text is not known.
  std::optional<double> bits_per_byte(double nats_per_token) const;
  std::optional<double> bits_per_character(double nats_per_token) const;
};

/// Measures `run` and, when not null, `twin` beside it, as run's eval.* says. All ranks of the networks, the same ones,
/// call together; rank 0 gets the results, what the others get lacks them. Throws InputError where the data are not
/// those of the run, RunError as EvaluationRanks::run().
TokenEvalResult evaluate_tokens(TrainedNetwork& run, TrainedNetwork* twin, EvalProgress& progress);

}  // namespace blocktrain::trainer
