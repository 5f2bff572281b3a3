#pragma once
/// Hugging Face's tokenizer.json of a byte-level BPE tokenizer.
///
/// Read: `model` of type BPE (vocab; merges as "a b" or ["a", "b"]; unk_token, fuse_unk, ignore_merges), `added_tokens`
/// (special, normalized, lstrip, rstrip), `normalizer` none, NFC or a Sequence of these, `pre_tokenizer` ByteLevel
/// (add_prefix_space, use_regex), Split (of a known pattern) and Digits, alone or in a Sequence that ends with
/// ByteLevel. Not read, for text is encoded without templates and decoded as bytes: `post_processor`, `decoder`,
/// `truncation`, `padding`. Anything else is refused by name.

#include <memory>
#include <string>
#include <string_view>

#include "trainer/tasks/tokens/tokenizer.hpp"

namespace blocktrain::trainer {

/// `text` is the file at `path`, which errors name. Throws InputError.
std::unique_ptr<Tokenizer> read_tokenizer_json(std::string_view text, const std::string& path);

}  // namespace blocktrain::trainer
