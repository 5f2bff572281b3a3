#include "trainer/config/document.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <sstream>
#include <utility>

#include "trainer/support/utf8.hpp"

namespace blocktrain::trainer {
namespace {

std::string hexadecimal(unsigned char byte) {
  constexpr std::string_view digits = "0123456789abcdef";
  return {digits[byte >> 4], digits[byte & 15]};
}

bool is_control(unsigned char c) { return c < 0x20 || c == 0x7f; }

/// The parser guesses encodings and takes some control characters for the end of the text, so what follows them
/// would be ignored without a word.
void require_plain_text(std::string_view text) {
  if (text.size() > kMostConfigBytes) {
    throw SyntaxError(1, "found " + std::to_string(text.size()) + " bytes",
                      "at most " + std::to_string(kMostConfigBytes));
  }
  int line = 1;
  for (std::size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c == '\n') ++line;
    // A directive: the parser would skip the line.
    if (c == '%' && (i == 0 || text[i - 1] == '\n')) throw SyntaxError(line, "found a line that starts with %");
    const std::size_t length = character_bytes(text, i);
    if (length == 0 || (is_control(c) && c != '\n' && c != '\r' && c != '\t')) {
      throw SyntaxError(line, "found byte 0x" + hexadecimal(c), "text in UTF-8");
    }
    i += length;
  }
}

/// Builds the tree from the parser's events, so that limits stop the parser itself. Its recursion is as deep as the
/// tree, and that is bounded here.
class TreeBuilder final : public YAML::EventHandler {
 public:
  Node take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) {
      throw SyntaxError(line_of(mark), "found a second document", "one document");
    }
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override { add(make(Node::Kind::nothing, mark)); }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, const std::string& value) override {
    refuse_tag(mark, tag);
    Node node = make(Node::Kind::scalar, mark);
    node.quoted = tag == "!";
    node.text = value;
    add(std::move(node));
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { refuse_anchor(mark); }
  void OnAnchor(const YAML::Mark& mark, const std::string&) override { refuse_anchor(mark); }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    open(Node::Kind::list, mark, tag);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, YAML::EmitterStyle::value) override {
    open(Node::Kind::map, mark, tag);
  }
  void OnMapEnd() override { close(); }

 private:
  static int line_of(const YAML::Mark& mark) { return mark.line + 1; }

  Node make(Node::Kind kind, const YAML::Mark& mark) {
    if (++values_ > kMostConfigValues) {
      throw SyntaxError(line_of(mark), "found more than " + std::to_string(kMostConfigValues) + " keys and values",
                        "at most that many");
    }
    Node node;
    node.kind = kind;
    node.line = line_of(mark);
    return node;
  }

  void open(Node::Kind kind, const YAML::Mark& mark, const std::string& tag) {
    refuse_tag(mark, tag);
    if (static_cast<int>(open_.size()) == kDeepestConfig) {
      throw SyntaxError(line_of(mark),
                        "found lists or maps nested more than " + std::to_string(kDeepestConfig) + " deep",
                        "sections with keys");
    }
    open_.push_back(make(kind, mark));
  }

  void close() {
    Node node = std::move(open_.back());
    open_.pop_back();
    add(std::move(node));
  }

  void add(Node node) {
    if (open_.empty()) {
      root_ = std::move(node);
    } else if (Node& parent = open_.back();
               parent.kind == Node::Kind::map && parent.keys.size() == parent.items.size()) {
      parent.keys.push_back(std::move(node));
    } else {
      // The parser says "nothing" where it finds the next token, often some lines on.
      if (node.kind == Node::Kind::nothing && !parent.keys.empty()) node.line = parent.keys.back().line;
      parent.items.push_back(std::move(node));
    }
  }

  static void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
    // "?" and "!" are the parser's words for a plain and a quoted value without a tag.
    if (tag.empty() || tag == "?" || tag == "!") return;
    throw SyntaxError(line_of(mark), "found the tag " + quoted_for_message(tag), "values without tags");
  }

  [[noreturn]] static void refuse_anchor(const YAML::Mark& mark) {
    throw SyntaxError(line_of(mark), "found an anchor (&) or alias (*)",
                      "values written out, or in quotes where they start "
                      "with & or * (`extends:` shares settings between files)");
  }

  Node root_;
  std::vector<Node> open_;
  int documents_ = 0;
  int values_ = 0;
};

}  // namespace

Node parse_document(std::string_view text) {
  require_plain_text(text);
  TreeBuilder builder;
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& error) {
    const int line = error.mark.is_null() ? 1 : error.mark.line + 1;
    const std::string column = error.mark.is_null() ? "" : " at column " + std::to_string(error.mark.column + 1);
    throw SyntaxError(line, "found text that is not YAML (" + error.msg + column + ")");
  }
  return builder.take();
}

std::string quoted_for_message(std::string_view text) {
  constexpr std::size_t kLongest = 60;
  std::string out = "\"";
  std::size_t i = 0;
  while (i < text.size()) {
    const std::size_t length = character_bytes(text, i);
    if (i + length > kLongest) break;
    const auto c = static_cast<unsigned char>(text[i]);
    if (c == '\n') {
      out += "\\n";
    } else if (length == 0 || is_control(c)) {
      out += "\\x" + hexadecimal(c);
    } else {
      out += text.substr(i, length);
    }
    i += length == 0 ? 1 : length;
  }
  return out + (i < text.size() ? "...\"" : "\"");
}

}  // namespace blocktrain::trainer
