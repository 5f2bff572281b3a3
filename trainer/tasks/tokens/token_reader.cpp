#include "trainer/tasks/tokens/token_reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <unordered_set>
#include <utility>

#include "kernels/error.hpp"
#include "trainer/support/sha256.hpp"
#include "trainer/support/units.hpp"
#include "trainer/support/utf8.hpp"
#include "trainer/tasks/tokens/token_bin.hpp"

namespace blocktrain::trainer {
namespace {

using Clock = std::chrono::steady_clock;

/// Texts of so many files are mapped where their bytes are their tokens; those of more are copied.
constexpr std::size_t most_mapped_texts = 64;
constexpr std::size_t most_documents = std::size_t{1} << 26;
constexpr double long_seconds = 10;

InputError refusal(const std::string& name, const std::string& what) {
  return InputError("data file " + name + ": " + what);
}

std::string_view as_text(std::span<const std::uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void require_utf8(const TokenFile& file, std::span<const std::uint8_t> bytes) {
  const auto wrong = find_invalid_utf8(bytes);
  if (!wrong) return;
  throw refusal(file.name, fmt::format("byte {} (0x{:02x}) is not valid UTF-8; accepted: text in UTF-8 (iconv converts "
                                       "other text), or with data.format bytes and data.tokenizer bytes anything",
                                       *wrong, bytes[*wrong]));
}

/// Calls act(at, end, next) for each document of `text`: it is [at, end), and the one behind it begins at `next`,
/// behind the separator. Without a separator all is one.
template <class Act>
void for_each_document(std::string_view text, std::string_view separator, const Act& act) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = separator.empty() ? text.size() : std::min(text.find(separator, at), text.size());
    const std::size_t next = std::min(end + separator.size(), text.size());
    act(at, end, next);
    at = next;
  }
}

}  // namespace

TokenReader::TokenReader(const TokenFiles& files, const TokenDataOptions& options,
                         std::shared_ptr<const Tokenizer> tokenizer, const OpenTokenFile& open_file,
                         LookForDocuments look)
    : files_(files),
      options_(options),
      open_file_(open_file),
      looks_for_duplicates_(look == LookForDocuments::always || options.deduplicate == Deduplication::exact),
      looks_for_documents_(looks_for_duplicates_ || options.documents == DocumentMode::apart) {
  data_.where_ = files.where;
  data_.format_ = files.format;
  data_.apart_ = options.documents == DocumentMode::apart;
  data_.files_ = static_cast<std::int64_t>(files.training.size() + files.heldout.size());
  data_.file_bytes_ = files.bytes();
  data_.notes_ = files.notes;
  data_.tokenizer_ = std::move(tokenizer);
  data_.vocabulary_ = vocabulary_for(files.format, options, data_.tokenizer(), files.where);
  if (data_.tokenizer_ != nullptr) end_of_text_ = data_.tokenizer_->end_of_text();
  if (options.end_of_text >= 0) {
    if (!is_tokenized(files.format)) {
      throw InputError("data.end_of_text: found " + std::to_string(options.end_of_text) + ", but '" + files.where +
                       "' holds text; accepted: -1 (data.separator tells the documents of a text apart)");
    }
    if (options.end_of_text >= data_.vocabulary_) {
      throw InputError("data.end_of_text: found " + std::to_string(options.end_of_text) + "; accepted: an id below " +
                       std::to_string(data_.vocabulary_));
    }
    end_of_text_ = static_cast<std::int32_t>(options.end_of_text);
  }
  if (is_tokenized(files.format)) {
    if (!options.separator.empty()) {
      throw InputError("data.separator: found one, but '" + files.where +
                       "' holds ids; accepted: none (data.end_of_text tells their documents apart)");
    }
  } else if (!options.takes_bytes() || data_.files_ > static_cast<std::int64_t>(most_mapped_texts)) {
    writer_.emplace(token_width(options.takes_bytes() ? 256 : data_.tokenizer_->vocabulary()));
  }
}

TokenDataset TokenReader::read() {
  const Clock::time_point began = Clock::now();
  Documents training = read_files(files_.training), heldout = read_files(files_.heldout);
  if (writer_) {
    if (writer_->tokens() == 0) throw InputError("data path " + files_.where + ": holds no tokens");
    data_.sources_.push_back(std::move(*writer_).finish(files_.where));
    if (!options_.takes_bytes()) {
      data_.tokenizing_seconds_ = std::chrono::duration<double>(Clock::now() - began).count();
    }
  }
  if (data_.tokenizing_seconds_ > long_seconds) {
    data_.notes_.push_back(
        fmt::format("data path {}: {} of text took {} to tokenize, as at every start; files of ids "
                    "(data.format nanogpt) are there at once",
                    files_.where, bytes(static_cast<double>(files_.bytes())), duration(data_.tokenizing_seconds_)));
  }
  data_.heldout_is_cut_ = files_.heldout.empty();
  if (data_.heldout_is_cut_) heldout = cut_heldout(training);
  if (looks_for_duplicates_) find_duplicates(training, heldout);
  data_.train_ = to_split(training);
  data_.heldout_ = to_split(heldout);
  data_.require_unchanged();
  return std::move(data_);
}

TokenReader::Documents TokenReader::read_files(const std::vector<TokenFile>& files) {
  Documents documents;
  for (const TokenFile& file : files) {
    if (is_tokenized(files_.format)) {
      read_ids(file, documents);
    } else {
      read_text(file, documents);
    }
  }
  return documents;
}

void TokenReader::add(Documents& out, const Document& document) const {
  if (document.piece.tokens == 0 && document.behind == 0) return;
  if (out.size() == most_documents) {
    throw InputError("data path " + files_.where + ": holds more than " + std::to_string(most_documents) +
                     " documents; accepted: fewer, longer ones (data.separator, data.end_of_text)");
  }
  out.push_back(document);
}

void TokenReader::read_text(const TokenFile& file, Documents& out) {
  MappedBytes mapped = open_file_(file);
  mapped.remember();
  const std::span<const std::uint8_t> bytes = mapped.bytes();
  if (files_.format == TokenFormat::text) require_utf8(file, bytes);
  if (!options_.takes_bytes()) {
    encode(file, as_text(bytes), out);
    return mapped.check_unchanged();
  }
  TokenPiece piece{static_cast<std::uint32_t>(writer_ ? 0 : data_.sources_.size()), writer_ ? writer_->tokens() : 0, 0};
  const std::string_view text = as_text(bytes);
  // Where nothing depends on the documents, the separators are text as all else.
  const std::string_view separator = looks_for_documents_ ? std::string_view(options_.separator) : std::string_view();
  for_each_document(text, separator, [&](std::size_t at, std::size_t end, std::size_t next) {
    piece.tokens = static_cast<std::int64_t>(end - at);
    add(out, {piece, static_cast<std::int64_t>(next - end)});
    piece.begin += static_cast<std::int64_t>(next - at);
  });
  if (writer_) {
    writer_->append(bytes);
    return mapped.check_unchanged();
  }
  data_.sources_.emplace_back(std::move(mapped), 0, 1, file.name);
}

void TokenReader::encode(const TokenFile& file, std::string_view text, Documents& out) {
  const std::string_view separator = options_.separator;
  for_each_document(text, separator, [&](std::size_t at, std::size_t end, std::size_t next) {
    ids_.clear();
    Document document{{0, writer_->tokens(), 0}, 0};
    try {
      data_.tokenizer_->encode(text.substr(at, end - at), ids_);
      if (end_of_text_ && end > at) ids_.push_back(*end_of_text_);
      document.piece.tokens = static_cast<std::int64_t>(ids_.size());
      if (!end_of_text_ && next > end) data_.tokenizer_->encode(separator, ids_);
    } catch (const InputError& e) {
      throw refusal(file.name, fmt::format("the document at byte {}: {}", at, e.what()));
    }
    document.behind = static_cast<std::int64_t>(ids_.size()) - document.piece.tokens;
    writer_->append(ids_);
    add(out, document);
  });
}

void TokenReader::read_ids(const TokenFile& file, Documents& out) {
  MappedBytes mapped = open_file_(file);
  mapped.remember();
  const BinLayout layout = read_bin_layout(files_.format, mapped.bytes(), file.name);
  const auto number = static_cast<std::uint32_t>(data_.sources_.size());
  const TokenSource& source =
      data_.sources_.emplace_back(std::move(mapped), layout.first_byte, bin_token_bytes, file.name);
  check_ids(source);
  if (!looks_for_documents_ || !end_of_text_) return add(out, {{number, 0, source.tokens()}, 0});
  for (std::int64_t at = 0; at < source.tokens();) {
    const std::int64_t next = std::min(source.find(at, *end_of_text_) + 1, source.tokens());
    add(out, {{number, at, next - at}, 0});
    at = next;
  }
}

void TokenReader::check_ids(const TokenSource& source) const {
  const std::int64_t wrong = source.first_beyond(data_.vocabulary_);
  if (wrong == source.tokens()) return;
  std::int32_t id = 0;
  source.copy(wrong, {&id, 1});
  source.memory().check_unchanged();
  throw refusal(source.name(),
                fmt::format("token {} is the id {}; accepted: ids below {}, of {}", wrong, id, data_.vocabulary_,
                            options_.vocabulary > 0 ? "data.vocabulary" : "data.tokenizer"));
}

std::int64_t TokenReader::tokens_of(const Documents& documents) const {
  std::int64_t sum = 0;
  for (const Document& d : documents) sum += tokens_of(d);
  return sum;
}

TokenReader::Documents TokenReader::cut_heldout(Documents& documents) const {
  const std::int64_t all = tokens_of(documents);
  if (all < 2) {
    throw InputError("data path " + files_.where + ": holds " + std::to_string(all) +
                     " tokens; accepted: enough of them to train on some and hold out others");
  }
  const std::int64_t kept = options_.kept_tokens(all);
  Documents heldout;
  std::size_t last = 0;  // the document in which, or behind which, the cut is
  for (std::int64_t before = 0; before + tokens_of(documents[last]) < kept;) before += tokens_of(documents[last++]);
  heldout.assign(documents.begin() + static_cast<std::ptrdiff_t>(last) + 1, documents.end());
  documents.resize(last + 1);
  Document& cut = documents.back();
  const std::int64_t beyond = all - kept - tokens_of(heldout);  // of the document's tokens, its separator at the end
  if (const std::int64_t over = beyond - (data_.apart_ ? 0 : cut.behind); over > 0) {
    Document rest = cut;
    rest.piece.tokens = over;
    cut.piece.tokens -= over;
    rest.piece.begin += cut.piece.tokens;
    cut.behind = 0;
    heldout.insert(heldout.begin(), rest);
  }
  return heldout;
}

std::string TokenReader::digest_of(const Document& document) const {
  const TokenPiece& p = document.piece;
  return sha256_hex(std::as_bytes(data_.sources_[p.source].bytes(p.begin, p.tokens)));
}

void TokenReader::find_duplicates(Documents& training, const Documents& heldout) {
  std::unordered_set<std::string> seen;
  for (const Document& d : heldout) seen.insert(digest_of(d));
  Documents different;
  DuplicateDocuments& found = data_.duplicates_;
  for (const Document& d : training) {
    found.of_tokens += tokens_of(d);
    if (d.piece.tokens == 0 || seen.insert(digest_of(d)).second) {
      different.push_back(d);
    } else {
      ++found.documents;
      found.tokens += tokens_of(d);
    }
  }
  if (options_.deduplicate == Deduplication::none) return;
  training = std::move(different);
  if (found.documents == 0) return;
  data_.notes_.push_back(
      fmt::format("data path {}: left out {} documents that are there before or held out, {:.1f}% of "
                  "the training tokens (data.deduplicate)",
                  files_.where, found.documents, 100 * found.share()));
}

TokenSplit TokenReader::to_split(const Documents& documents) const {
  TokenSplit split;
  std::int64_t place = 0;
  for (const Document& d : documents) {
    TokenPiece piece = d.piece;
    piece.tokens = tokens_of(d);
    if (piece.tokens == 0) continue;
    if (d.piece.tokens > 0) ++split.documents;
    // What lies together in one source is one piece of a joined split.
    if (!data_.apart_ && !split.pieces.empty() && split.pieces.back().source == piece.source &&
        split.pieces.back().begin + split.pieces.back().tokens == piece.begin) {
      split.pieces.back().tokens += piece.tokens;
    } else {
      split.places.push_back(place);
      split.pieces.push_back(piece);
    }
    place += piece.tokens;
  }
  split.places.push_back(place);
  if (!looks_for_documents_ && (is_tokenized(files_.format) ? end_of_text_.has_value() : !options_.separator.empty())) {
    split.documents = 0;  // they were not told apart
  }
  return split;
}

}  // namespace blocktrain::trainer
