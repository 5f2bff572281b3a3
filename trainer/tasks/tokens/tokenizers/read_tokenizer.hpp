#pragma once
/// A tokenizer from the contents of its file, whichever kind of file that is.

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "trainer/tasks/tokens/tokenizer.hpp"

namespace blocktrain::trainer {

/// `file` is what stands in the file at `path`, which errors and the description name. Throws InputError.
std::unique_ptr<Tokenizer> read_tokenizer(std::span<const std::byte> file, const std::string& path);

}  // namespace blocktrain::trainer
