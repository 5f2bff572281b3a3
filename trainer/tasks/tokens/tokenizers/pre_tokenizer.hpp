#pragma once
/// Where text is cut before its bytes are merged. Files give the cuts as regular expressions; those that are known are
/// carried out here by hand, and no other: nothing that a file says is executed, and time is linear in the text.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "trainer/tasks/tokens/tokenizers/unicode.hpp"

namespace blocktrain::trainer {

/// A way to cut a text into pieces that follow each other without gaps.
enum class Cut : std::uint8_t {
  gpt2,         ///< GPT-2's pattern: contractions, a word with the space before it, digits, others, spaces
  llama3,       ///< Llama 3's: digits by threes, line ends apart
  qwen2,        ///< Qwen2's: as llama3's, each digit alone
  each_number,  ///< every character of \p{N} alone, what lies between them whole
  number_runs,  ///< runs of \p{N}, what lies between them whole
};

/// The cut that this regular expression makes; none when it is not known.
std::optional<Cut> cut_of_pattern(std::string_view pattern);

/// For messages: the patterns that are known, by whose they are.
std::string known_patterns();

/// Where the piece that begins at text[at] ends; text is valid UTF-8 and `at` < its size.
std::size_t end_of_piece(Cut cut, std::string_view text, std::size_t at);

/// Calls `take(piece)` for each piece that the cuts make of `text`, each cut applied to the pieces of the one before
/// it.
template <class Take>
void cut_text(std::span<const Cut> cuts, std::string_view text, Take&& take) {
  if (cuts.empty()) {
    take(text);
    return;
  }
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = end_of_piece(cuts.front(), text, at);
    cut_text(cuts.subspan(1), text.substr(at, end - at), take);
    at = end;
  }
}

}  // namespace blocktrain::trainer
