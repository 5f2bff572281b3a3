#include "trainer/tasks/tokens/tokenizers/pre_tokenizer.hpp"

#include <algorithm>
#include <array>

#include "kernels/error.hpp"

namespace blocktrain::trainer {
namespace {

struct KnownPattern {
  std::string_view pattern;
  Cut cut;
};

constexpr std::array known{
    KnownPattern{R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", Cut::gpt2},
    KnownPattern{R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", Cut::gpt2},
    KnownPattern{R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
                 R"(\s*[\r\n]+|\s+(?!\S)|\s+)",
                 Cut::llama3},
    KnownPattern{R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
                 R"(\s*[\r\n]+|\s+(?!\S)|\s+)",
                 Cut::qwen2},
    KnownPattern{R"(\p{N})", Cut::each_number},
    KnownPattern{R"(\p{N}+)", Cut::number_runs},
};

/// A place in a text, and the character there.
class Cursor {
 public:
  Cursor(std::string_view text, std::size_t at) : text_(text), at_(at) { look(); }

  std::size_t at() const { return at_; }
  bool at_end() const { return at_ == text_.size(); }
  bool is(CharacterClass kind) const { return !at_end() && here_.kind == kind; }
  bool is_line_end() const { return !at_end() && (here_.code == '\r' || here_.code == '\n'); }
  bool is_blank() const { return !at_end() && here_.code == ' '; }
  void advance() {
    at_ += here_.bytes;
    look();
  }
  /// Behind all characters of that kind that follow here.
  void skip(CharacterClass kind) {
    while (is(kind)) advance();
  }

 private:
  void look() {
    if (!at_end()) here_ = character_at(text_, at_);
  }

  std::string_view text_;
  std::size_t at_;
  Character here_;
};

/// How long the contraction ('s 't 're 've 'm 'll 'd) at the beginning of `text` is, in bytes; 0 for none. In any case
/// when `any_case`: then U+017F, the long s, is an s, too.
std::size_t contraction(std::string_view text, bool any_case) {
  if (text.size() < 2 || text[0] != '\'') return 0;
  const auto lower = [&](char c) { return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  if (any_case && text.substr(1, 2) == "\xc5\xbf") return 3;
  const char first = lower(text[1]);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  const char second = text.size() > 2 ? lower(text[2]) : '\0';
  const bool two =
      (first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l');
  return two ? 3 : 0;
}

/// The end of a run of spaces that begins at `begin`: \s+(?!\S)|\s+. All of them at the end of the text; otherwise the
/// last is left for what follows it, unless it is the only one.
std::size_t end_of_spaces(std::string_view text, std::size_t begin) {
  Cursor here(text, begin);
  std::size_t last = begin;
  while (here.is(CharacterClass::space)) {
    last = here.at();
    here.advance();
  }
  return here.at_end() || last == begin ? here.at() : last;
}

std::size_t end_by_gpt2(std::string_view text, std::size_t begin) {
  if (const std::size_t length = contraction(text.substr(begin), false)) return begin + length;
  Cursor here(text, begin);
  if (here.is_blank()) here.advance();
  if (here.at_end() || here.is(CharacterClass::space)) return end_of_spaces(text, begin);
  const Character first = character_at(text, here.at());
  here.skip(first.kind);
  return here.at();
}

std::size_t end_by_llama3(std::string_view text, std::size_t begin, int most_digits) {
  if (const std::size_t length = contraction(text.substr(begin), true)) return begin + length;
  const Cursor first(text, begin);
  // [^\r\n\p{L}\p{N}]?\p{L}+
  Cursor word = first;
  if (!word.is(CharacterClass::letter) && !word.is(CharacterClass::number) && !word.is_line_end()) word.advance();
  if (word.is(CharacterClass::letter)) {
    word.skip(CharacterClass::letter);
    return word.at();
  }
  Cursor here = first;
  if (here.is(CharacterClass::number)) {
    for (int n = 0; n < most_digits && here.is(CharacterClass::number); ++n) here.advance();
    return here.at();
  }
  //  ?[^\s\p{L}\p{N}]+[\r\n]*
  if (here.is_blank()) here.advance();
  if (here.is(CharacterClass::other)) {
    here.skip(CharacterClass::other);
    while (here.is_line_end()) here.advance();
    return here.at();
  }
  // \s*[\r\n]+: up to the last line end of the run.
  std::size_t behind_line_end = begin;
  for (here = first; here.is(CharacterClass::space);) {
    const bool line_end = here.is_line_end();
    here.advance();
    if (line_end) behind_line_end = here.at();
  }
  return behind_line_end != begin ? behind_line_end : end_of_spaces(text, begin);
}

std::size_t end_by_numbers(std::string_view text, std::size_t begin, bool runs) {
  Cursor here(text, begin);
  if (!here.is(CharacterClass::number)) {
    while (!here.at_end() && !here.is(CharacterClass::number)) here.advance();
  } else if (runs) {
    here.skip(CharacterClass::number);
  } else {
    here.advance();
  }
  return here.at();
}

}  // namespace

std::optional<Cut> cut_of_pattern(std::string_view pattern) {
  const auto* found =
      std::find_if(known.begin(), known.end(), [&](const KnownPattern& k) { return k.pattern == pattern; });
  if (found == known.end()) return std::nullopt;
  return found->cut;
}

std::string known_patterns() { return R"(those of GPT-2, Llama 3 and Qwen2, \p{N} and \p{N}+)"; }

std::size_t end_of_piece(Cut cut, std::string_view text, std::size_t at) {
  BLOCKTRAIN_EXPECTS(at < text.size());
  switch (cut) {
    case Cut::gpt2:
      return end_by_gpt2(text, at);
    case Cut::llama3:
      return end_by_llama3(text, at, 3);
    case Cut::qwen2:
      return end_by_llama3(text, at, 1);
    case Cut::each_number:
      return end_by_numbers(text, at, false);
    case Cut::number_runs:
      return end_by_numbers(text, at, true);
  }
  BLOCKTRAIN_EXPECTS(false);
  return text.size();
}

}  // namespace blocktrain::trainer
