#pragma once
/// RUN/eval.json of a run on text.
///
/// Format "blocktrain-eval", version 1; format to data as in every such file (trainer/eval/eval_head.hpp). Bounds are
/// from above, in nats per token unless their name says bits; means over windows.
///
///   settings    task ("tokens"), windows (held out, measured), draws (of masks, per window and block), context (tokens
///               of a window), vocabulary, seed
///   text        {tokens, bytes, characters} of the measured windows, characters being code points; null: not known
///   run         folder, summary, computed_on, training, experiment, steps, parameters as ever, and
///     bound     {nats_per_token, standard_error (of it, over windows), perplexity (e to the bound), bits_per_byte,
///               bits_per_character with their standard errors (null where text is)}
///     intervals [{block, masked: [above, up to], loss}], what each block's numbers of masked tokens cost
///     levels    [{masked, block, loss}] at single numbers of masked tokens, from all down
///   twin        null, or the same of the run given as --twin: same windows and masks

#include <string>

#include "trainer/ledger/ledger.hpp"
#include "trainer/tasks/tokens/token_evaluation.hpp"

namespace blocktrain::trainer {

/// The text of eval.json.
std::string to_json(const TokenEvalResult& result);

/// Tables for a terminal of 100 columns.
std::string to_table(const TokenEvalResult& result);

/// The row of the ledger, of the run alone.
EvalRow ledger_row(const TokenEvalResult& result);

}  // namespace blocktrain::trainer
