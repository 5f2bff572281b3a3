#include "trainer/tasks/tokens/tokenizers/bpe_tokenizer.hpp"

#include <set>
#include <span>

#include "kernels/error.hpp"
#include "trainer/support/utf8.hpp"
#include "trainer/tasks/tokens/tokenizers/for_messages.hpp"
#include "trainer/tasks/tokens/tokenizers/unicode.hpp"

namespace blocktrain::trainer {
namespace {

/// Checks what the model and the search for added tokens rely on.
const BpeParts& checked(const BpeParts& parts) {
  if (parts.tokens.empty()) throw InputError(parts.place + ": has no tokens");
  const auto count = static_cast<std::int64_t>(parts.tokens.size());
  if (count > most_tokens) {
    throw InputError(parts.place + ": has " + std::to_string(count) + " ids; accepted: at most " +
                     std::to_string(most_tokens));
  }
  const auto require_id = [&](std::int32_t id, const std::string& what) {
    if (id < 0 || id >= count) {
      throw InputError(parts.place + ": " + what + " has the id " + std::to_string(id) + "; accepted: 0 to " +
                       std::to_string(count - 1));
    }
  };
  std::set<std::string_view> texts;
  std::set<std::int32_t> ids;
  for (const AddedToken& token : parts.added) {
    const std::string what = "the added token " + quoted_token(token.text);
    require_id(token.id, what);
    if (token.text.empty()) {
      throw InputError(parts.place + ": the added token of id " + std::to_string(token.id) + " is empty");
    }
    if (const auto fault = utf8_fault(token.text)) throw InputError(parts.place + ": " + what + ": " + *fault);
    if (!texts.insert(token.text).second) throw InputError(parts.place + ": " + what + " is there twice");
    if (!ids.insert(token.id).second) {
      throw InputError(parts.place + ": " + what + " has the id " + std::to_string(token.id) +
                       ", which another added token has, too");
    }
  }
  if (parts.unknown) require_id(*parts.unknown, "the unknown token");
  if (parts.end_of_text) require_id(*parts.end_of_text, "the end of text");
  return parts;
}

std::vector<AddedToken> chosen(const BpeParts& parts, bool normalized) {
  std::vector<AddedToken> tokens;
  for (const AddedToken& token : parts.added) {
    if (token.normalized != normalized) continue;
    tokens.push_back(token);
    if (normalized && parts.normal_form_c) {
      tokens.back().text.clear();
      append_normal_form_c(token.text, tokens.back().text);
    }
  }
  return tokens;
}

std::optional<std::int32_t> end_of_text(const BpeParts& parts) {
  // What stands between documents in the data that models are trained on, not what ends an answer of theirs.
  for (const char* name : {"<|endoftext|>", "<|end_of_text|>", "</s>"}) {
    for (const AddedToken& token : parts.added) {
      if (token.text == name) return token.id;
    }
  }
  return parts.end_of_text;
}

}  // namespace

BpeTokenizer::BpeTokenizer(const BpeParts& parts)
    : model_(checked(parts)),
      added_(chosen(parts, false)),
      added_to_normalized_(chosen(parts, true)),
      cuts_(parts.cuts),
      prefix_space_(parts.prefix_space),
      cut_by_gpt2_(parts.cut_by_gpt2),
      normal_form_c_(parts.normal_form_c),
      end_of_text_(trainer::end_of_text(parts)),
      origin_(parts.origin),
      digest_(parts.digest) {}

std::string BpeTokenizer::description() const {
  return "BPE of " + std::to_string(vocabulary()) + " tokens, " + origin_;
}

void BpeTokenizer::encode(std::string_view text, std::vector<std::int32_t>& out) const {
  require_utf8(text);
  const std::scoped_lock lock(mutex_);
  const auto found = [&](std::int32_t id) { out.push_back(id); };
  const auto plain = [&](std::string_view piece) { encode_plain(piece, out); };
  added_.split(
      text,
      [&](std::string_view between) {
        if (normal_form_c_) {
          normalized_.clear();
          append_normal_form_c(between, normalized_);
          between = normalized_;
        }
        added_to_normalized_.split(between, plain, found);
      },
      found);
}

void BpeTokenizer::encode_plain(std::string_view text, std::vector<std::int32_t>& out) const {
  cut_text(cuts_, text, [&](std::string_view piece) { encode_piece(piece, out); });
}

void BpeTokenizer::encode_piece(std::string_view piece, std::vector<std::int32_t>& out) const {
  if (prefix_space_ && !piece.starts_with(' ')) {
    prefixed_.assign(1, ' ').append(piece);
    piece = prefixed_;
  }
  // Behind the other cuts, with the blank in front.
  static constexpr Cut gpt2[] = {Cut::gpt2};
  const std::span<const Cut> cuts = cut_by_gpt2_ ? std::span<const Cut>(gpt2) : std::span<const Cut>();
  cut_text(cuts, piece, [&](std::string_view part) { model_.encode(part, scratch_, out); });
}

void BpeTokenizer::decode(std::span<const std::int32_t> tokens, std::string& out) const {
  for (const std::int32_t token : tokens) {
    require_token(token, vocabulary(), origin_);
    out += model_.bytes_of(token);
  }
}

}  // namespace blocktrain::trainer
