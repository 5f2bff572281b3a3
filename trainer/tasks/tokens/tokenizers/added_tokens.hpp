#pragma once
/// Special tokens in a text: where they stand, and what lies between them.

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "trainer/tasks/tokens/tokenizers/bpe_parts.hpp"

namespace blocktrain::trainer {

/// Finds a set of strings in texts: from the left, at each place the longest. As much time as the text and the longest
/// string are long, multiplied.
class AddedTokens {
 public:
  /// No two with the same text.
  explicit AddedTokens(const std::vector<AddedToken>& tokens);

  bool empty() const { return nodes_.size() <= 1; }

  /// Calls `between(piece)` for what lies between tokens, where that is not empty, and `found(id)` for tokens, in
  /// order.
  template <class Between, class Found>
  void split(std::string_view text, Between&& between, Found&& found) const {
    std::size_t done = 0;
    for (std::size_t at = 0; !empty() && at < text.size();) {
      const Match match = match_at(text, at);
      if (match.token == nullptr) {
        ++at;
        continue;
      }
      std::size_t begin = at, end = at + match.length;
      if (match.token->eats_left) begin = before_spaces(text, begin, done);
      if (match.token->eats_right) end = behind_spaces(text, end);
      if (done < begin) between(text.substr(done, begin - done));
      found(match.token->id);
      done = end;
      at = end;
    }
    if (done < text.size()) between(text.substr(done));
  }

 private:
  struct Match {
    const AddedToken* token = nullptr;
    std::size_t length = 0;
  };
  /// Of a tree of bytes: its first child and its next sibling, 0 for none.
  struct Node {
    std::uint32_t child = 0, sibling = 0;
    std::int32_t token = -1;  ///< the one that ends here, in tokens_
    char byte = 0;
  };

  Match match_at(std::string_view text, std::size_t at) const;
  std::uint32_t child_of(std::uint32_t node, char byte) const;
  static std::size_t before_spaces(std::string_view text, std::size_t begin, std::size_t least);
  static std::size_t behind_spaces(std::string_view text, std::size_t end);

  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_;
};

}  // namespace blocktrain::trainer
