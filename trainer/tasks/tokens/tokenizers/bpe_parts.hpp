#pragma once
/// What a byte-level BPE tokenizer is made of, as the files tell it.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "trainer/tasks/tokens/tokenizers/pre_tokenizer.hpp"

namespace blocktrain::trainer {

/// More ids than any vocabulary has; a file that asks for more is not believed.
constexpr std::int64_t most_tokens = std::int64_t{1} << 21;

/// A token that is found in the text itself, before anything is cut, normalised or merged.
struct AddedToken {
  std::int32_t id = 0;
  std::string text;         ///< as it stands in a text; not empty
  bool normalized = false;  ///< looked for in the normalised text, after the others
  bool eats_left = false;   ///< takes the spaces before it
  bool eats_right = false;  ///< takes the spaces behind it
};

struct BpeParts {
  std::vector<std::string> tokens;  ///< by id, in the spelling of byte_alphabet.hpp; empty where no token has that id
  /// Pairs of spelt tokens, those merged first in front. Views into what the parts were read from.
  std::vector<std::pair<std::string_view, std::string_view>> merges;
  std::vector<AddedToken> added;
  std::vector<Cut> cuts;            ///< one behind the other
  bool prefix_space = false;        ///< then a piece that does not begin with a blank gets one
  bool cut_by_gpt2 = false;         ///< and then GPT-2's pattern cuts it
  bool normal_form_c = false;       ///< before all cuts
  bool whole_pieces_first = false;  ///< a piece that is a token is that token, whatever merges would make of it
  std::optional<std::int32_t>
      unknown;                ///< in the place of a byte that has no token; without it such bytes are left out
  bool fuse_unknown = false;  ///< one for several in a row
  std::optional<std::int32_t> end_of_text;
  std::string place;   ///< what errors begin with: "tokenizer FILE"
  std::string origin;  ///< the file's name, for the description
  std::string digest;
};

}  // namespace blocktrain::trainer
