#pragma once
/// SentencePiece models (.model), through the library of that name, where the program was built with it. Text is encoded
/// as the library does it: normalised as the model says, so that decoding need not give back the same text.

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "trainer/tasks/tokens/tokenizer.hpp"

namespace blocktrain::trainer {

/// `model` is the file at `path`, which errors name. Throws InputError; also where the library was not there when the
/// program was built.
std::unique_ptr<Tokenizer> read_sentencepiece(std::span<const std::byte> model, const std::string& path);

}  // namespace blocktrain::trainer
