#include "trainer/config/option.hpp"

#include <algorithm>
#include <string>
#include <variant>
#include <vector>

#include "kernels/error.hpp"
#include "trainer/config/document.hpp"
#include "trainer/config/suggest.hpp"
#include "trainer/config/values.hpp"
#include "trainer/support/file_system.hpp"
#include "trainer/support/text.hpp"

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

void read_overrides(std::string_view option, std::span<const std::string> overrides,
                    std::span<const Setting> settings) {
  std::vector<std::string> names;
  for (const Setting& s : settings) names.push_back(s.name());
  for (const std::string& text : overrides) {
    const std::string where = std::string(option) + " " + printable(text) + ": ";
    const std::size_t equals = text.find('=');
    const std::string name = text.substr(0, equals);
    const Setting* setting = blocks::find_setting(settings, name);
    if (equals == std::string::npos || setting == nullptr) {
      const std::vector<std::string_view> candidates(names.begin(), names.end());
      const std::string_view meant = nearest(name, candidates);
      throw InputError(where + (equals == std::string::npos ? "found no KEY=VALUE" : "found another key") +
                       (meant.empty() || setting != nullptr ? "" : " (did you mean " + std::string(meant) + "?)") +
                       "; accepted: " + join(names));
    }
    try {
      if (const auto wrong = assign(*setting, parse_document(std::string_view(text).substr(equals + 1)))) {
        throw InputError(where + name + ": " + *wrong);
      }
    } catch (const SyntaxError& e) {
      throw InputError(where + name + ": " + e.what() + "; accepted: " + accepted_values(setting->value));
    }
  }
}

}  // namespace blocktrain::trainer
