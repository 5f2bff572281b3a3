#pragma once
/// SentencePiece models (.model), through the library of that name, where the program was built with it. Text is
/// encoded as the library does it: normalised as the model says, so that decoding need not give back the same text.

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "trainer/tasks/tokens/tokenizer.hpp"

namespace blocktrain::trainer {

/// Whether the library was there when the program was built.
bool sentencepiece_is_there();

/// `model` is the file at `path`, which errors name. Throws InputError, also without the library.
std::unique_ptr<Tokenizer> read_sentencepiece(std::span<const std::byte> model, const std::string& path);

}  // namespace blocktrain::trainer
