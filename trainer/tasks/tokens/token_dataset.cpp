#include "trainer/tasks/tokens/token_dataset.hpp"

#include <algorithm>
#include <utility>

#include "kernels/error.hpp"
#include "trainer/data/data_digest.hpp"
#include "trainer/tasks/tokens/token_reader.hpp"

namespace blocktrain::trainer {

TokenDataset TokenDataset::open(const std::string& path, const TokenDataOptions& options, LookForDocuments look) {
  const TokenFiles files = find_token_files(path, options.format);
  return assemble(files, options, tokenizer_for(files.format, options), map_token_file, look);
}

TokenDataset TokenDataset::assemble(const TokenFiles& files, const TokenDataOptions& options,
                                    std::shared_ptr<const Tokenizer> tokenizer, const OpenTokenFile& open_file,
                                    LookForDocuments look) {
  return TokenReader(files, options, std::move(tokenizer), open_file, look).read();
}

std::string TokenDataset::symbols() const { return symbols_of(tokenizer_.get(), vocabulary_); }

std::string symbols_of(const Tokenizer* tokenizer, std::int64_t vocabulary) {
  return tokenizer != nullptr ? tokenizer->description() : "ids below " + std::to_string(vocabulary);
}

void TokenDataset::copy(Split split, std::int64_t place, std::span<std::int32_t> out) const {
  const TokenSplit& from = this->split(split);
  BLOCKTRAIN_EXPECTS(place >= 0 && place <= from.tokens() &&
                     static_cast<std::int64_t>(out.size()) <= from.tokens() - place);
  auto piece = static_cast<std::size_t>(std::ranges::upper_bound(from.places, place) - from.places.begin()) - 1;
  while (!out.empty()) {
    const TokenPiece& p = from.pieces[piece];
    const std::int64_t inside = place - from.places[piece];
    const auto now = static_cast<std::size_t>(std::min(p.tokens - inside, static_cast<std::int64_t>(out.size())));
    sources_[p.source].copy(p.begin + inside, out.first(now));
    out = out.subspan(now);
    place = from.places[++piece];
  }
}

std::vector<std::int64_t> TokenDataset::counts(Split split) const {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(vocabulary_));
  for (const TokenPiece& p : this->split(split).pieces) sources_[p.source].count(p.begin, p.tokens, counts);
  return counts;
}

std::string TokenDataset::digest() const {
  Sha256 sha;
  add_number(sha, 1);  // version of this recipe
  const std::string made_by = tokenizer_ != nullptr ? tokenizer_->digest() : std::string("ids");
  add_number(sha, made_by.size());
  sha.update(std::as_bytes(std::span(made_by)));
  add_number(sha, static_cast<std::uint64_t>(vocabulary_));
  add_number(sha, apart_ ? 1 : 0);
  for (const TokenSplit* split : {&train_, &heldout_}) {
    add_number(sha, split->pieces.size());
    for (const TokenPiece& p : split->pieces) {
      for (const std::int64_t n : {std::int64_t{p.source}, p.begin, p.tokens}) {
        add_number(sha, static_cast<std::uint64_t>(n));
      }
    }
  }
  for (const TokenSource& source : sources_) add_pieces(sha, source.bytes(0, source.tokens()));
  return sha.hex();
}

void TokenDataset::require_unchanged() const {
  for (const TokenSource& source : sources_) source.memory().check_unchanged();
}

std::vector<std::string> TokenDataset::touched() const {
  std::vector<std::string> notes;
  for (const TokenSource& source : sources_) {
    if (auto note = source.memory().touched()) notes.push_back(std::move(*note));
  }
  return notes;
}

std::shared_ptr<const Tokenizer> tokenizer_for(TokenFormat format, const TokenDataOptions& options) {
  if (is_tokenized(format) && options.takes_bytes()) return nullptr;
  return open_tokenizer(options.tokenizer);
}

std::int64_t vocabulary_for(TokenFormat format, const TokenDataOptions& options, const Tokenizer* tokenizer,
                            const std::string& where) {
  if (tokenizer == nullptr) {
    if (options.vocabulary > 0) return options.vocabulary;
    throw InputError("data.vocabulary: found none, and '" + where + "' holds ids (data.format " +
                     std::string(name_of(format)) +
                     "); accepted: the number of ids of what made them (50257 for GPT-2), or data.tokenizer");
  }
  const std::int64_t has = tokenizer->vocabulary();
  if (has < 1 || has > most_token_ids) {
    throw InputError("data.tokenizer: '" + options.tokenizer + "' has " + std::to_string(has) +
                     " ids; accepted: at most " + std::to_string(most_token_ids));
  }
  if (options.vocabulary == 0) return has;
  if (options.vocabulary < has) {
    throw InputError("data.vocabulary: found " + std::to_string(options.vocabulary) + ", but " +
                     tokenizer->description() + " has " + std::to_string(has) +
                     " ids; accepted: as many or more, or 0");
  }
  return options.vocabulary;
}

}  // namespace blocktrain::trainer
