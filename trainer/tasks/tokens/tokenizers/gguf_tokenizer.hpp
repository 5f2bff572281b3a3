#pragma once
/// The tokenizer inside a GGUF: tokenizer.ggml.model "gpt2" (byte-level BPE), by tokenizer.ggml.tokens, .merges,
/// .token_type (3, control, and 4, of a user: found in the text itself), .pre (which pattern cuts the text: gpt-2,
/// smollm, starcoder, llama-bpe, qwen2), .eos_token_id and .add_space_prefix. Others are refused by name. The digest is
/// that of the entries tokenizer.ggml.*, so that it is the same whatever weights are in the file.

#include <memory>
#include <string>

#include "trainer/formats/gguf.hpp"
#include "trainer/tasks/tokens/tokenizer.hpp"

namespace blocktrain::trainer {

/// `path` stands in errors and in the description. Throws InputError.
std::unique_ptr<Tokenizer> read_gguf_tokenizer(const GgufFile& file, const std::string& path);

}  // namespace blocktrain::trainer
