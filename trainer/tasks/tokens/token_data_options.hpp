#pragma once
/// The keys that tasks of tokens have for their data.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "blocks/setting.hpp"
#include "kernels/names.hpp"

namespace blocktrain::trainer {

/// The kinds of files that are read (data.format).
enum class TokenFormat : std::uint8_t { automatic, text, bytes, nanogpt, llmc };
constexpr auto name_table(TokenFormat) {
  return names_up_to<TokenFormat::llmc>("auto", "text", "bytes", "nanogpt", "llmc");
}

/// Whether windows run on from one document into the next (data.documents).
enum class DocumentMode : std::uint8_t { joined, apart };
constexpr auto name_table(DocumentMode) { return names_up_to<DocumentMode::apart>("joined", "apart"); }

/// What becomes of documents that are there before (data.deduplicate).
enum class Deduplication : std::uint8_t { none, exact };
constexpr auto name_table(Deduplication) { return names_up_to<Deduplication::exact>("none", "exact"); }

/// Most ids that a vocabulary may have.
inline constexpr std::int64_t most_token_ids = std::int64_t{1} << 22;

struct TokenDataOptions {
  TokenFormat format = TokenFormat::automatic;
  std::string tokenizer = "bytes";  ///< or the path of a tokenizer's file (open_tokenizer())
  std::int64_t vocabulary = 0;      ///< ids that a network has; 0: those of the tokenizer
  double heldout = 0.1;             ///< share of the tokens, where no file is held out
  DocumentMode documents = DocumentMode::joined;
  std::string separator;          ///< between the documents of a text; empty: a document is a file
  std::int64_t end_of_text = -1;  ///< id behind the documents of tokenized files; -1: the tokenizer's
  Deduplication deduplicate = Deduplication::none;

  void describe(std::vector<blocks::Setting>& out);
  void check(std::span<const blocks::Setting> all, std::vector<blocks::Conflict>& out) const;
  bool operator==(const TokenDataOptions&) const = default;

  bool takes_bytes() const { return tokenizer == "bytes"; }
  /// Of `all` tokens, at least 2, those that are trained on where data.heldout says which are held out: 1 to all - 1.
  std::int64_t kept_tokens(std::int64_t all) const;
};

/// Whether such files hold ids already.
constexpr bool is_tokenized(TokenFormat format) {
  return format == TokenFormat::nanogpt || format == TokenFormat::llmc;
}

}  // namespace blocktrain::trainer
