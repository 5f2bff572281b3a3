#include "trainer/tasks/tokens/tokenizers/added_tokens.hpp"

#include "trainer/tasks/tokens/tokenizers/unicode.hpp"

namespace blocktrain::trainer {

AddedTokens::AddedTokens(const std::vector<AddedToken>& tokens) : tokens_(tokens), nodes_(1) {
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    std::uint32_t node = 0;
    for (const char byte : tokens_[i].text) {
      std::uint32_t next = child_of(node, byte);
      if (next == 0) {
        next = static_cast<std::uint32_t>(nodes_.size());
        nodes_.push_back({0, nodes_[node].child, -1, byte});
        nodes_[node].child = next;
      }
      node = next;
    }
    nodes_[node].token = static_cast<std::int32_t>(i);
  }
}

std::uint32_t AddedTokens::child_of(std::uint32_t node, char byte) const {
  std::uint32_t child = nodes_[node].child;
  while (child != 0 && nodes_[child].byte != byte) child = nodes_[child].sibling;
  return child;
}

AddedTokens::Match AddedTokens::match_at(std::string_view text, std::size_t at) const {
  Match longest;
  std::uint32_t node = 0;
  for (std::size_t length = 0; at + length < text.size();) {
    node = child_of(node, text[at + length]);
    if (node == 0) break;
    ++length;
    if (nodes_[node].token >= 0) longest = {&tokens_[static_cast<std::size_t>(nodes_[node].token)], length};
  }
  return longest;
}

std::size_t AddedTokens::before_spaces(std::string_view text, std::size_t begin, std::size_t least) {
  while (begin > least) {
    std::size_t previous = begin - 1;
    while (previous > least && (static_cast<unsigned char>(text[previous]) & 0xc0) == 0x80) --previous;
    if (character_at(text, previous).kind != CharacterClass::space) break;
    begin = previous;
  }
  return begin;
}

std::size_t AddedTokens::behind_spaces(std::string_view text, std::size_t end) {
  while (end < text.size()) {
    const Character here = character_at(text, end);
    if (here.kind != CharacterClass::space) break;
    end += here.bytes;
  }
  return end;
}

}  // namespace blocktrain::trainer
