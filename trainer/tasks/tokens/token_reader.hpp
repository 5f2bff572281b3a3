#pragma once
/// Reads the files of a TokenDataset: finds their documents, makes tokens of them, cuts off what is held out, leaves
/// out what is there before.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/tasks/tokens/token_dataset.hpp"

namespace blocktrain::trainer {

class TokenReader {
 public:
  /// Throws InputError where there is no vocabulary, or the keys do not suit the files. The arguments have to outlive
  /// the reader.
  TokenReader(const TokenFiles& files, const TokenDataOptions& options, std::shared_ptr<const Tokenizer> tokenizer,
              const OpenTokenFile& open_file, LookForDocuments look);

  /// Throws as TokenDataset::open().
  TokenDataset read();

 private:
  /// A document, and the separator behind it, which joined documents keep.
  struct Document {
    TokenPiece piece;
    std::int64_t behind = 0;
  };
  using Documents = std::vector<Document>;

  Documents read_files(const std::vector<TokenFile>& files);
  void read_text(const TokenFile& file, Documents& out);
  void encode(const TokenFile& file, std::string_view text, Documents& out);
  void read_ids(const TokenFile& file, Documents& out);
  void check_ids(const TokenSource& source) const;
  void add(Documents& out, const Document& document) const;

  /// Tokens of a document in its split.
  std::int64_t tokens_of(const Document& d) const { return d.piece.tokens + (data_.apart_ ? 0 : d.behind); }
  std::int64_t tokens_of(const Documents& documents) const;
  /// Takes the last documents off `documents`, a share of data.heldout of all tokens.
  Documents cut_heldout(Documents& documents) const;
  void find_duplicates(Documents& training, const Documents& heldout);
  std::string digest_of(const Document& document) const;
  TokenSplit to_split(const Documents& documents) const;

  const TokenFiles& files_;
  const TokenDataOptions& options_;
  const OpenTokenFile& open_file_;
  const bool looks_for_duplicates_, looks_for_documents_;
  std::optional<std::int32_t> end_of_text_;
  std::optional<TokenWriter> writer_;  ///< of texts that are not mapped
  std::vector<std::int32_t> ids_;
  TokenDataset data_;
};

}  // namespace blocktrain::trainer
