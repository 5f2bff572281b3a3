#pragma once
/// What `generate` makes of a network that was trained on text.
///
/// It shows the texts, and writes them as lines of JSON, RUN/samples.jsonl unless --out says otherwise: one object per
/// text: {"sample": its number, "prompt": how it begins, "text": all of it, "tokens": [...]}. Bytes that are no UTF-8
/// are replaced in "text" (U+FFFD); the tokens are what was made.

#include "trainer/eval/trained_network.hpp"
#include "trainer/tasks/generate_arguments.hpp"

namespace blocktrain::trainer {

/// All ranks of the network call together. Throws InputError where the arguments do not fit the run.
void generate_text(TrainedNetwork& network, const GenerateArguments& arguments);

}  // namespace blocktrain::trainer
