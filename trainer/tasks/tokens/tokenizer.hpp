#pragma once
/// Text as numbers: what a tokenizer is, and how one is opened.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace blocktrain::trainer {

/// Turns text into ids below vocabulary(), and ids into text. The same text gives the same ids on every machine. Any
/// number of threads may call at once; calls of encode() wait for each other.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// How many ids there are: 0 to vocabulary() - 1.
  virtual std::int64_t vocabulary() const = 0;

  /// Appends the ids of `text` to `out`. Nothing is put before or behind them (no beginning or end of text). Throws
  /// InputError that names the first byte where `text` is not valid UTF-8, except for bytes, which may be anything.
  virtual void encode(std::string_view text, std::vector<std::int32_t>& out) const = 0;

  /// Appends the text of `tokens` to `out`, special tokens spelt out. An id may stand for part of a character, so
  /// what is appended need not be valid UTF-8. Throws InputError for an id that is not in the vocabulary.
  virtual void decode(std::span<const std::int32_t> tokens, std::string& out) const = 0;

  /// One line for people: "bytes", "BPE of 49152 tokens, tokenizer.json".
  virtual std::string description() const = 0;

  /// The id between documents, where the tokenizer has one.
  virtual std::optional<std::int32_t> end_of_text() const = 0;

  /// SHA-256 of the file it was made from, 64 hex digits; of the word "bytes" for bytes.
  virtual const std::string& digest() const = 0;
};

/// "bytes" (256 ids), or the path of a file: Hugging Face's tokenizer.json, a GGUF, a SentencePiece model (.model).
/// Which of them it is, its contents say. Throws InputError naming the file and what is wrong with it or not supported.
std::unique_ptr<Tokenizer> open_tokenizer(const std::string& name_or_path);

}  // namespace blocktrain::trainer
