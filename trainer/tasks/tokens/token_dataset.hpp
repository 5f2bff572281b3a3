#pragma once
/// Texts as token ids in memory, read-only, in two splits.
///
/// data.format text: files of UTF-8, tokenized when they are opened; bytes are their own tokens, and a few files of
/// them are mapped as they lie. nanogpt, llmc: files of ids (token_bin.hpp), mapped. Which files there are says
/// token_files.hpp.
///
/// Documents. A text file is one, or several with data.separator between them; the separator is no part of a document,
/// and empty ones are none. Where the tokenizer has an end of text, every document of a text ends with it; else joined
/// documents keep their separators. In files of ids a document ends behind each id data.end_of_text (that of the
/// tokenizer where it has one).
///
/// Splits. Where no file is held out, the last tokens of all are, a share of data.heldout; the document that this cuts
/// is in both. With data.deduplicate exact, documents of the training split whose tokens are those of a document
/// before, or of one that is held out, are left out of it; the held-out split stays as it is, so that it is the same
/// with and without.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "trainer/data/samples.hpp"
#include "trainer/tasks/tokens/token_data_options.hpp"
#include "trainer/tasks/tokens/token_files.hpp"
#include "trainer/tasks/tokens/token_source.hpp"
#include "trainer/tasks/tokens/tokenizer.hpp"

namespace blocktrain::trainer {

/// Tokens [begin, begin + tokens) of a source.
struct TokenPiece {
  std::uint32_t source = 0;
  std::int64_t begin = 0, tokens = 0;
};

/// The documents of one split, one behind the other.
struct TokenSplit {
  std::vector<TokenPiece> pieces;
  std::vector<std::int64_t> places;  ///< where each piece begins in the split, and the end of the last
  std::int64_t documents = 0;        ///< 0: not looked for

  std::int64_t tokens() const { return places.empty() ? 0 : places.back(); }
};

/// Documents of the training split that are there before, or held out.
struct DuplicateDocuments {
  std::int64_t documents = 0, tokens = 0;
  std::int64_t of_tokens = 0;  ///< in the split with them
  double share() const { return of_tokens > 0 ? static_cast<double>(tokens) / static_cast<double>(of_tokens) : 0; }
};

/// Whether documents and duplicates are looked for where nothing depends on them: it takes reading all of the data.
enum class LookForDocuments : std::uint8_t { where_needed, always };

class TokenDataset {
 public:
  /// Reads the data at `path`. Throws InputError that names the file, what was found and what is expected: nothing
  /// there, unreadable, of two kinds, damaged, no UTF-8 (with the place of the byte), ids beyond the vocabulary.
  /// RunError when a file changes meanwhile.
  static TokenDataset open(const std::string& path, const TokenDataOptions& options,
                           LookForDocuments look = LookForDocuments::where_needed);
  /// What open() does once it knows the files. `tokenizer` is null where ids have none.
  static TokenDataset assemble(const TokenFiles& files, const TokenDataOptions& options,
                               std::shared_ptr<const Tokenizer> tokenizer, const OpenTokenFile& open_file,
                               LookForDocuments look = LookForDocuments::where_needed);

  const std::string& where() const { return where_; }
  TokenFormat format() const { return format_; }
  bool apart() const { return apart_; }
  std::int64_t files() const { return files_; }
  std::uint64_t file_bytes() const { return file_bytes_; }
  std::int64_t vocabulary() const { return vocabulary_; }
  /// Null for ids without one.
  const Tokenizer* tokenizer() const { return tokenizer_.get(); }
  /// symbols_of() its tokenizer.
  std::string symbols() const;
  bool heldout_is_cut() const { return heldout_is_cut_; }
  /// Nothing where they were not looked for.
  const DuplicateDocuments& duplicates() const { return duplicates_; }
  /// How long it took to make tokens of text; 0 where there was none to make.
  double tokenizing_seconds() const { return tokenizing_seconds_; }
  const std::vector<std::string>& notes() const { return notes_; }

  const TokenSplit& split(Split split) const { return split == Split::train ? train_ : heldout_; }
  /// out = the out.size() tokens of a split from `place` on. Allocates nothing; any thread may call. Whether the files
  /// are still what they were is to be asked afterwards, require_unchanged().
  void copy(Split split, std::int64_t place, std::span<std::int32_t> out) const;
  /// How often each id is in a split.
  std::vector<std::int64_t> counts(Split split) const;

  /// SHA-256, in hex, of the tokens (sizes, and pieces of large files) and of what makes them tokens: a resumed run
  /// compares it. The same wherever the files lie.
  std::string digest() const;

  /// Looks whether the mapped files are still what they were: what was read of them before counts once this did not
  /// throw. Throws RunError that names the file. No memory; any thread may call.
  void require_unchanged() const;
  /// Sentences about files that this found merely touched, once for each time.
  std::vector<std::string> touched() const;

 private:
  std::string where_;
  TokenFormat format_ = TokenFormat::text;
  bool apart_ = false;
  std::int64_t files_ = 0;
  std::uint64_t file_bytes_ = 0;
  std::int64_t vocabulary_ = 0;
  std::shared_ptr<const Tokenizer> tokenizer_;
  bool heldout_is_cut_ = false;
  DuplicateDocuments duplicates_;
  double tokenizing_seconds_ = 0;
  std::vector<std::string> notes_;
  std::vector<TokenSource> sources_;
  TokenSplit train_, heldout_;

  friend class TokenReader;
};

/// The tokenizer that files of that format need: null for files of ids where none is named. Throws as open_tokenizer().
std::shared_ptr<const Tokenizer> tokenizer_for(TokenFormat format, const TokenDataOptions& options);

/// What ids stand for, in words: "bytes"; without a tokenizer "ids below 50257".
std::string symbols_of(const Tokenizer* tokenizer, std::int64_t vocabulary);

/// How many ids a network for the data has: data.vocabulary, or those of the tokenizer. Throws InputError where neither
/// says it, or the tokenizer has more.
std::int64_t vocabulary_for(TokenFormat format, const TokenDataOptions& options, const Tokenizer* tokenizer,
                            const std::string& where);

}  // namespace blocktrain::trainer
