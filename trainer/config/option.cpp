#include "trainer/config/option.hpp"

#include <algorithm>
#include <string>
#include <variant>

#include "kernels/error.hpp"
#include "trainer/config/document.hpp"
#include "trainer/config/values.hpp"

namespace blocktrain::trainer {
namespace {

Node scalar(std::string_view text) {
  Node node;
  node.kind = Node::Kind::scalar;
  node.text = text;
  return node;
}

}  // namespace

void read_option(std::string_view option, std::string_view text, const SettingValue& value) {
  Node node = scalar(text);
  if (std::holds_alternative<blocks::IntListValue>(value) || std::holds_alternative<blocks::SeedListValue>(value) ||
      std::holds_alternative<blocks::NumberListValue>(value)) {
    node.kind = Node::Kind::list;
    for (std::size_t begin = 0; begin <= text.size();) {
      const std::size_t comma = std::min(text.find(',', begin), text.size());
      node.items.push_back(scalar(text.substr(begin, comma - begin)));
      begin = comma + 1;
    }
  }
  const Setting setting{"", option, value, ""};
  if (const auto wrong = assign(setting, node)) throw InputError(std::string(option) + ": " + *wrong);
}

}  // namespace blocktrain::trainer
