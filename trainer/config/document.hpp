#pragma once
/// YAML text from strangers as a small tree with line numbers. Everything a config has no use for is refused before it
/// can cost anything: deep nesting, many values, anchors and aliases, tags, several documents, bytes that are not text.

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace blocktrain::trainer {

inline constexpr std::size_t kMostConfigBytes = std::size_t{1} << 20;
inline constexpr int kDeepestConfig = 64;
inline constexpr int kMostConfigValues = 10000;

struct Node {
  enum class Kind : std::uint8_t { nothing, scalar, list, map };

  Kind kind = Kind::nothing;
  bool quoted = false;      ///< a scalar in quotes, or a block scalar
  int line = 0;             ///< from 1
  std::string text;         ///< of a scalar
  std::vector<Node> keys;   ///< of a map
  std::vector<Node> items;  ///< of a list, or the values of a map in the order of `keys`
};

/// What is wrong with the text, and where.
struct SyntaxError : std::runtime_error {
  SyntaxError(int at_line, const std::string& found, std::string what_is_accepted = "")
      : std::runtime_error(found), line(at_line), accepted(std::move(what_is_accepted)) {}
  int line;              ///< from 1
  std::string accepted;  ///< empty: any YAML that suits the place
};

/// Parses one YAML document. Text without any value gives Kind::nothing. Throws SyntaxError.
Node parse_document(std::string_view text);

/// `text` in double quotes for a message: at most 60 bytes of it, control characters and broken UTF-8 escaped.
std::string quoted_for_message(std::string_view text);

}  // namespace blocktrain::trainer
